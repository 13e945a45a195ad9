"""Many proteins from files, of which any may be unusable: read them, predict in batches, and say why one has no result.

Shape key:  N aligned sequences   L residues
"""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from protray.inference.write import to_table
from protray.seq.alphabet import decode
from protray.seq.fasta import Source, codes_of
from protray.seq.msa import InputError, read_msa

if TYPE_CHECKING:  # torch, which the job's driver does not need to list its inputs
    from protray.inference.predict import Prediction, Predictor, Query

log = logging.getLogger(__name__)

HELD_BYTES = 1 << 28  # of alignments in memory, beside the one that is being read
PADDED_RESIDUES = 8192  # of one batch through the networks


def predict_part(predictor: "Predictor", sources: list[Source], max_length: int) -> tuple[pa.Table, list[InputError]]:
    """Predictions in the order of `sources`, and a reason for each protein that has none; no error escapes."""
    queries: list[Query] = []
    predictions: dict[str, Prediction] = {}
    sequences: dict[str, str] = {}
    reasons: dict[str, InputError] = {}
    by_id = {source.id: source for source in sources}

    def flush() -> None:
        for batch in by_length(queries):
            done, failed = predict_batch(predictor, batch)
            predictions.update((prediction.id, prediction) for prediction in done)
            reasons.update((id, _error(by_id[id], error)) for id, error in failed.items())
        queries.clear()

    for source in sources:
        try:
            query = read_query(source, max_length, predictor)
        except Exception as error:  # a bad file, or a fault of ours or of the disk, must not stop the other proteins
            reasons[source.id] = _error(source, error)
            continue
        sequences[source.id] = decode(query.msa_NL[0])
        queries.append(query)
        if sum(query.msa_NL.nbytes for query in queries) > HELD_BYTES:
            flush()
    flush()
    done = [predictions[source.id] for source in sources if source.id in predictions]
    table = to_table((sequences[prediction.id] for prediction in done), done)
    return table, [reasons[source.id] for source in sources if source.id in reasons]


def read_query(source: Source, max_length: int, predictor: "Predictor") -> "Query":
    """Read one protein; a FASTA record is an alignment of one row."""
    from protray.inference.predict import Query
    from protray.plm.masked import tokens_of

    msa_NL = read_msa(source.file).codes_NL if source.sequence is None else codes_of(source.sequence)[None]
    if msa_NL.shape[1] > max_length:
        raise ValueError(f"{msa_NL.shape[1]} residues; the limit is {max_length}, see --max-length")
    if predictor.lm is not None:
        tokens_of(predictor.lm, msa_NL[0])  # raises where the language model has a limit of its own
    return Query(source.id, msa_NL)


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


def predict_batch(predictor: "Predictor", batch: "list[Query]") -> "tuple[list[Prediction], dict[str, Exception]]":
    """Predict a batch; if that fails, each of its proteins alone, to find the one to blame."""
    try:
        predictions = predictor.predict(batch)
    except Exception as error:
        if len(batch) == 1:
            return [], {batch[0].id: error}
        alone = [predict_batch(predictor, [query]) for query in batch]
        return [p for done, _ in alone for p in done], {id: e for _, failed in alone for id, e in failed.items()}
    unusable = [prediction.id for prediction in predictions if not np.isfinite(prediction.prob_L3).all()]
    bad: dict[str, Exception] = {id: ValueError("its probabilities are not finite") for id in unusable}
    return [prediction for prediction in predictions if prediction.id not in bad], bad


def _error(source: Source, error: Exception) -> InputError:
    if isinstance(error, InputError):
        return InputError(error.file, error.line, error.reason, source.id)
    if not isinstance(error, ValueError):
        log.error("%s: unexpected %s", source.id, type(error).__name__, exc_info=error)
    reason = str(error) if isinstance(error, ValueError) else f"unexpected {type(error).__name__}: {error}"
    return InputError(source.file, source.line, reason, source.id)
