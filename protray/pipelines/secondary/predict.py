"""A finished model on one protein or 100,000: secondary structure of alignments, or of bare sequences.

``OUT``                   the predictions, a file or a folder of .ss2; see ``protray.inference.secondary.write``
``OUT.html``              the predictions along the sequences, of 300 proteins at most
``OUT.rejected.parquet``  what could not be used: id, file, line, reason
``OUT.summary.json``      what `OUT` was made from, and counts; written last
``OUT.parts``             what is done so far, removed at the end
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from protray.cluster.batch.job import BatchJob, BatchSettings, Done, Row, Span
from protray.cluster.storage.identity import content_digest
from protray.data.location import Location
from protray.data.parquet import read_batches
from protray.inference.secondary.write import PREDICTED, check_format, write
from protray.models.secondary.shipped import PREDICTOR
from protray.pipelines.language_model.made_with import MadeWith
from protray.plm.hub.folder import check_present
from protray.plm.reading import forward_tokens
from protray.plm.shipped import fingerprint, weight_bytes
from protray.seq.errors import InputError, counted

if TYPE_CHECKING:
    from protray.inference.secondary.predict import Predictor
    from protray.pipelines.language_model.stored_maps import MapReader
    from protray.training.secondary.export import ModelCard

SOURCE = pa.struct(
    [
        ("id", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
        ("sequence", pa.string()),  # of a FASTA record; null for an alignment
        ("map", pa.struct([("file", pa.string()), ("group", pa.int32()), ("row", pa.int64())])),
    ]
)
USUAL_LENGTH = 300  # residues of a protein whose alignment was not read yet
PER_RESIDUE_S = 1e-4  # of a core, about: the networks without the language model
BESIDE_WEIGHTS = 1 << 30  # bytes of an actor: Python, PyTorch, alignments


@dataclass(frozen=True, kw_only=True)
class Predict(BatchSettings):
    """What to predict with what; one of `msas` and `fasta`."""

    model: Location | None = None
    """The folder `model` of a finished jobs/distil.py run.  Default: the model in the package."""
    msas: Location | None = None
    """Folder of alignments, one file per protein: .a3m .a2m .sto .fasta .aln, plain, .gz, .xz or .bz2."""
    fasta: Location | None = None
    """FASTA file, plain, .gz, .xz or .bz2: every record is a protein without homologs."""
    out: Location
    """Where to write, a path or an s3:// or gs:// address; its extension, .parquet, .3line, .ss2 or .horiz, is the
    format."""
    maps: Location | None = None
    """Folder of jobs/prob_maps.py with the maps of these proteins, made as those of the model's training were.
    Default: they are computed."""
    max_length: int = 5000
    """Longer proteins are left out: a protein costs one pass of the language model per residue, or as many as the
    model was trained with."""

    @property
    def networks(self) -> Location:
        return self.model or Location(PREDICTOR)

    @property
    def work(self) -> Location:
        return self._beside("parts")

    @property
    def summary(self) -> Location:
        return self._beside("summary.json")

    @property
    def rejected(self) -> Location:
        return self._beside("rejected.parquet")

    @property
    def page(self) -> Location:
        return self._beside("html")

    def folder(self, table: str) -> Location:
        return self.work / table

    def result(self, table: str) -> Location:
        return self.out

    def _beside(self, ending: str) -> Location:
        return Location(f"{self.out}.{ending}")


Opened = tuple[Predict, "Predictor", "MapReader | None"]


def identity(run: Predict) -> dict:
    if (run.msas is None) == (run.fasta is None):
        raise ValueError("give exactly one of --msas DIR and --fasta FILE")
    if run.max_length < 1:
        raise ValueError(f"--max-length is {run.max_length}; it must be at least 1")
    check_format(run.out)
    card = _loaded(run.networks)
    if run.maps and not card.reads_lm:
        raise ValueError(f"--maps {run.maps}: the model {run.networks} reads no maps; leave it out")
    if run.maps:
        if misfits := MadeWith.of(run.maps).misfits(card.lm, card.reading, bool(card.enhance.extra)):
            raise ValueError(f"--maps {run.maps} does not fit the model: {'; '.join(misfits)}")
    elif card.reads_lm:
        check_present(card.lm)
    return {
        "model": fingerprint(str(run.networks.fetch())),
        "language model": fingerprint(card.lm) if card.reads_lm else None,
        "proteins": content_digest(_input_files(run), run.msas or run.fasta),
        "maps": (run.maps / "summary.json").read_json()["identity"] if run.maps else None,
        "max_length": run.max_length,
    }


@cache
def card_of(model: Location) -> "ModelCard":
    """The settings of the model."""
    from protray.training.secondary.export import read_card

    return read_card(model)


def _loaded(model: Location) -> "ModelCard":
    """The same, after loading the networks once in the driver: an unusable model fails with a short message."""
    from protray.training.secondary.export import load_model

    return load_model(model)[0]


def rows(run: Predict) -> Iterator[Row | InputError]:
    """Proteins, each id once, with the places of their maps; what can be seen to be unusable without reading."""
    from protray.cluster.batch.seen import first_of_each_id

    found = first_of_each_id(_records(run.fasta.path) if run.fasta else _alignments(run))
    if run.maps is None:
        yield from found
        return
    from protray.pipelines.language_model.stored_maps import places

    known = places(run.maps)
    for row in found:
        if isinstance(row, InputError):
            yield row
        elif row["id"] in known:
            yield row | {"map": known[row["id"]]._asdict()}
        else:
            yield InputError(row["file"], row["line"], f"no map of id {row['id']!r} in {run.maps}", row["id"])


def _records(fasta: Path) -> Iterator[Row | InputError]:
    from protray.seq.fasta import stream_fasta

    for found in stream_fasta(fasta):
        yield found if isinstance(found, InputError) else asdict(found) | {"map": None}


def _alignments(run: Predict) -> Iterator[Row | InputError]:
    items, errors = _find(run)
    yield from errors
    for item in items:
        if item.id.isprintable():
            yield {"id": item.id, "file": item.msa_file, "line": None, "sequence": None, "map": None}
        else:
            yield InputError(item.msa_file, None, "the file name is not printable text", item.id)


def _find(run: Predict) -> tuple[list, list[InputError]]:
    """Alignments, and what is none; not what we write ourselves, where --out lies in --msas."""
    from protray.data.secondary.inputs import files_in, find_items

    assert run.msas
    ours = [Path(file) for file in (run.out, run.page, run.rejected, run.summary) if not run.out.is_address]
    for folder in (run.work, run.out):
        ours += files_in(folder.path) if not folder.is_address and folder.is_dir() else []
    return find_items(run.msas.path, None, ignore=tuple(ours))


def _input_files(run: Predict) -> list[Location]:
    if run.fasta:
        if not run.fasta.is_file():
            hint = " is a folder; give it to --msas" if run.fasta.is_dir() else ": no such file"
            raise ValueError(f"{run.fasta}{hint}")
        return [run.fasta]
    items, errors = _find(run)
    files = {item.msa_file for item in items} | {error.file for error in errors}
    return [Location(file) for file in sorted(files) if os.path.isfile(file)]  # a broken link is an error, too


def cost(run: Predict, row: Row) -> float:
    """Of alignments the lengths are not known yet: they count alike."""
    card, length = card_of(run.networks), len(row["sequence"]) if row["sequence"] else USUAL_LENGTH
    if run.maps or not card.reads_lm:
        return length * PER_RESIDUE_S
    from protray.plm.shipped import seconds_per_token

    return forward_tokens(length, card.reading) * seconds_per_token(card.lm) + length * PER_RESIDUE_S


def memory(run: Predict) -> int:
    card = card_of(run.networks)
    return BESIDE_WEIGHTS + (2 * weight_bytes(card.lm) if card.reads_lm else 0)


def open_model(run: Predict, device: str) -> Opened:
    from protray.inference.secondary.predict import Predictor
    from protray.pipelines.language_model.stored_maps import MapReader

    predictor = Predictor.open(run.networks, device, with_lm=run.maps is None)
    return run, predictor, MapReader() if run.maps else None


def work(opened: Opened, spans: list[Span]) -> Done:
    """Predictions, in the order of the proteins."""
    from protray.inference.secondary.many import StoredMap, predict_part
    from protray.pipelines.language_model.stored_maps import Place
    from protray.seq.fasta import Source

    run, predictor, reader = opened
    by_id = {span.row["id"]: span for span in spans}

    def stored(source: Source) -> StoredMap:
        assert reader
        return reader(Place(**by_id[source.id].row["map"]))

    in_order = sorted(spans, key=_place) if reader else spans
    sources = [Source(*(span.row[name] for name in ("id", "file", "line", "sequence"))) for span in in_order]
    found = predict_part(predictor, sources, run.max_length, stored if reader else None)
    numbers = [by_id[id].number for id in found.rows["id"].to_pylist()]
    columns = {"number": pa.array(numbers, pa.int64()), "start": pa.array([0] * len(numbers), pa.int32())}
    table = pa.table(columns | {name: found.rows[name] for name in PREDICTED.names}).sort_by("number")
    unknown = Counter(unknown=sum(sequence.count("X") for sequence in table["sequence"].to_pylist()))
    return Done(table, found.rejected, [(by_id[id], reason) for id, reason in found.too_large.items()], unknown)


def _place(span: Span) -> tuple:
    return tuple(span.row["map"].values())


def conclude(run: Predict, files: list[Location], summary: dict) -> dict:
    """Write the one file, some predictions in memory at a time; and the page."""
    from protray.plots.secondary.prediction_page import write_page

    batches = (batch for file in files for batch in read_batches(file, PREDICTED.names, 256))
    tables = (pa.Table.from_batches([batch]).cast(PREDICTED) for batch in batches)
    write(tables, run.out, many=summary["n_rows"] + summary["n_rejected"] > 1)
    rows = (row for file in files for batch in read_batches(file, PREDICTED.names, 64) for row in batch.to_pylist())
    with run.page.writing() as path:
        model = str(run.model) if run.model else "the predictor in the package"
        left = summary["n_rejected"]
        told = f"{counted(left, 'protein')} could not be used: see {run.rejected.name}." if left else ""
        write_page(path, rows, summary["n_rows"], aligned=run.msas is not None, model=model, rejected=told)
    return {}


def shown(run: Predict, summary: dict) -> dict[str, object]:
    told: dict[str, object] = {"page": run.page}
    if unknown := summary["counts"].get("unknown"):
        told["X"] = f"{counted(unknown, 'residue')} unknown, or B, Z, J, U or O: read and written as X"
    return told


JOB = BatchJob(
    name="predict", unit="proteins", table="predictions", source=SOURCE, identity=identity, rows=rows, cost=cost,
    open=open_model, work=work, schema=lambda run: PREDICTED, memory=memory, conclude=conclude, shown=shown,
)  # fmt: skip
