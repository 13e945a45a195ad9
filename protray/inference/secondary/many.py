"""Many proteins from files, of which any may be unusable: read them, predict in batches, and say why one has no result.

Shape key:  N aligned sequences   L residues
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from protray.inference.secondary.write import to_table
from protray.seq.alphabet import N_AA, decode
from protray.seq.errors import InputError
from protray.seq.fasta import Source, codes_of
from protray.seq.msa import read_msa

if TYPE_CHECKING:  # torch, which the job's driver does not need to list its inputs
    from protray.inference.secondary.predict import Prediction, Predictor, Query

HELD_BYTES = 1 << 28  # of alignments and maps in memory, beside the one that is being read
PADDED_RESIDUES = 8192  # of one batch through the networks


@dataclass(frozen=True)
class StoredMap:
    """What a language model gave for a protein, as jobs/prob_maps.py stores it."""

    sequence: str
    prob_LA: np.ndarray
    hidden_LC: np.ndarray | None


@dataclass(frozen=True)
class Predicted:
    """What became of some proteins, each of which is in one place."""

    rows: pa.Table  # of ``write.PREDICTED``, in the order of the proteins
    rejected: list[InputError]
    too_large: dict[str, str]  # by id, why it did not fit into the memory


def predict_part(
    predictor: "Predictor", sources: list[Source], max_length: int, stored: Callable[[Source], StoredMap] | None = None
) -> Predicted:
    """Predict proteins in batches of similar lengths.

    Parameters
    ----------
    predictor : Predictor
    sources : list of Source
        Each id once.
    max_length : int
        Residues; longer proteins are left out.
    stored : callable, optional
        Gives what the language model has told of a protein; by default it is asked.

    Raises
    ------
    OSError
        Of a disk or a network, or of damaged maps: no protein is to blame.
    """
    queries: list[Query] = []
    predictions: dict[str, Prediction] = {}
    sequences: dict[str, str] = {}
    reasons: dict[str, InputError] = {}
    too_large: dict[str, str] = {}
    by_id = {source.id: source for source in sources}

    def flush() -> None:
        for batch in by_length(queries):
            done, lacking = predict_batch(predictor, batch)
            too_large.update(lacking)
            for prediction in done:
                if np.isfinite(prediction.prob_L3).all():
                    predictions[prediction.id] = prediction
                else:
                    reasons[prediction.id] = _error(by_id[prediction.id], "its probabilities are not finite")
        queries.clear()

    held = 0
    for source in sources:
        try:
            query = read_query(source, max_length, stored)
        except OSError:  # also of a damaged map, whose error is a ValueError, too
            raise
        except ValueError as error:
            reasons[source.id] = _error(source, error)
            continue
        sequences[source.id] = decode(query.msa_NL[0])
        queries.append(query)
        held += _bytes_of(query)
        if held > HELD_BYTES:
            flush()
            held = 0
    flush()
    done = [predictions[source.id] for source in sources if source.id in predictions]
    table = to_table((sequences[prediction.id] for prediction in done), done)
    return Predicted(table, [reasons[source.id] for source in sources if source.id in reasons], too_large)


def read_query(source: Source, max_length: int, stored: Callable[[Source], StoredMap] | None = None) -> "Query":
    """Read one protein, and put its stored map beside it; a FASTA record is an alignment of one row."""
    from protray.inference.secondary.predict import Query

    msa_NL = read_msa(source.file).codes_NL if source.sequence is None else codes_of(source.sequence)[None]
    if msa_NL.shape[1] > max_length:
        raise ValueError(f"{msa_NL.shape[1]} residues; the limit is {max_length}, see --max-length")
    if not (msa_NL[0] < N_AA).any():
        raise ValueError(f"none of its {msa_NL.shape[1]} residues is one of the 20 amino acids")
    if stored is None:
        return Query(source.id, msa_NL)
    found = stored(source)
    if found.sequence != decode(msa_NL[0]):
        raise ValueError("its map is of another sequence")
    return Query(source.id, msa_NL, found.prob_LA, found.hidden_LC)


def by_length(queries: "list[Query]") -> "Iterator[list[Query]]":
    """Batches of proteins of similar lengths, at most ``PADDED_RESIDUES`` each unless one alone is longer."""
    batch: list[Query] = []
    for query in sorted(queries, key=lambda query: query.msa_NL.shape[1]):
        if batch and (len(batch) + 1) * query.msa_NL.shape[1] > PADDED_RESIDUES:
            yield batch
            batch = []
        batch.append(query)
    if batch:
        yield batch


def predict_batch(predictor: "Predictor", batch: "list[Query]") -> "tuple[list[Prediction], dict[str, str]]":
    """Predict a batch, each protein alone where it does not fit into the memory; by id those that do not even so."""
    from protray.plm.masked import out_of_memory

    try:
        return predictor.predict(batch), {}
    except Exception as error:
        if not out_of_memory(error):
            raise
        if len(batch) == 1:
            return [], {batch[0].id: f"out of memory: {error}"}
    alone = [predict_batch(predictor, [query]) for query in batch]
    return [p for done, _ in alone for p in done], {id: why for _, lacking in alone for id, why in lacking.items()}


def _bytes_of(query: "Query") -> int:
    return sum(array.nbytes for array in (query.msa_NL, query.prob_LA, query.hidden_LC) if array is not None)


def _error(source: Source, error: ValueError | str) -> InputError:
    if isinstance(error, InputError):
        return InputError(error.file, error.line, error.reason, source.id)
    return InputError(source.file, source.line, str(error), source.id)
