"""Pseudo-PSSMs, and if asked for the pseudo-alignments themselves, of many proteins' probability maps.

``OUT/pssms/*.parquet``     ``schemas.PSEUDO_PSSMS``: id, sequence, pssm, in the order of the maps
``OUT/msas/<id>.a3m.gz``    with ``write_msa``: the query, then the drawn sequences

A row of the input is a row group of a table of maps, read where it is worked on; the driver reads footers and ids.
"""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.batch.job import Amount, BatchJob, BatchSettings, Done, Row, Span, placed
from protray.cluster.storage.identity import content_digest
from protray.data import schemas
from protray.data.arrow import spooled
from protray.data.location import Location
from protray.data.parquet import naming, read_batches
from protray.inference.secondary.write import file_name
from protray.seq.alphabet import N_AA
from protray.seq.errors import InputError
from protray.seq.keyed import generator
from protray.seq.pseudo_msa import N_PSEUDO, a3m, check_map, pseudo_counts, pseudo_msa
from protray.seq.pssm import Background, count_residues, pssm

NAMES = ("maps-*.parquet", "part-*.parquet")
COLUMNS = ["id", "sequence", "prob_map"]
SOURCE = pa.struct(
    [
        ("file", pa.string()),
        ("group", pa.int32()),
        ("maps", pa.int64()),  # rows of the group
        ("cost", pa.float64()),
        ("repeated", pa.list_(pa.int64())),  # rows whose id an earlier map has
    ]
)
PER_RESIDUE_S, PER_LETTER_S = 6e-6, 3.6e-8  # of a core, about: counts of a residue; a letter of an alignment
AT_ONCE = 1024  # proteins whose PSSMs are in memory: 24 MB at 300 residues


@dataclass(frozen=True, kw_only=True)
class PseudoMsa(BatchSettings):
    """What to draw from which maps."""

    maps: Location
    """Folder of maps as jobs/prob_maps.py writes them: maps-*.parquet or part-*.parquet, also in sub-folders."""
    sequences: int = N_PSEUDO
    """Sequences drawn per protein; the native one is added."""
    expected: bool = False
    """Use expected counts, sequences x probability, in place of drawn ones."""
    background: Background = "smoothed"
    """B of the PSSM; `paper` scores an amino acid that never occurs +12.8."""
    write_msa: bool = False
    """Write the alignments, too: one file per protein, and the PSSM is that of the very sequences in it."""
    seed: int = 0

    @property
    def msas(self) -> Location:
        return self.out / "msas"

    def start_over(self, table: str) -> None:
        super().start_over(table)
        self.msas.remove()


def identity(run: PseudoMsa) -> dict:
    if run.sequences < 1:
        raise ValueError(f"--sequences is {run.sequences}; it must be at least 1")
    if run.expected and run.write_msa:
        raise ValueError(
            "an alignment is drawn, so its counts are not the expected ones: give --expected or --write-msa"
        )
    files = files_of(run.maps)
    for file in files:
        _footer(file)
    return {
        "maps": content_digest(files, run.maps),
        "sequences": run.sequences,
        "expected": run.expected,
        "background": run.background,
        "write_msa": run.write_msa,
        "seed": run.seed,
    }


def files_of(maps: Location) -> list[Location]:
    """Every table of maps, in the order of their names; ValueError if there is none."""
    if not maps.is_dir():
        raise ValueError(f"{maps} is not a folder")
    files = sorted({file for name in NAMES for file in maps.files(name)})
    if not files:
        raise ValueError(f"{maps} holds no map: no table {' or '.join(NAMES)}, also not in its sub-folders")
    return files


def _footer(file: Location) -> pq.FileMetaData:
    """Sizes of row groups; ValueError if the table holds no maps."""
    try:
        with naming(file, "compute the maps again"), file.open() as opened:
            found = pq.ParquetFile(opened)
    except ValueError as error:
        raise ValueError(f"{file} is no readable Parquet file: {error}") from None
    schema = found.schema_arrow
    for name in COLUMNS:
        if name not in schema.names:
            raise ValueError(f"{file}: column {name!r} is missing; it has {schema.names}")
    kind = schema.field("prob_map").type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not lists or kind.value_type not in (pa.float32(), pa.float16()):
        raise ValueError(f"{file}: column 'prob_map' is {kind}, expected a list of float32 or float16")
    return found.metadata


def rows(run: PseudoMsa) -> Iterator[Row | InputError]:
    """Row groups, and an error for each map whose id came before: the alignments of both would be one file."""
    from protray.cluster.batch.seen import SeenIds

    seen = SeenIds()
    for row in _groups(run):
        batches = read_batches(row["file"], ["id"], 1 << 16, [row["group"]])
        ids = [id for batch in batches for id in batch["id"].to_pylist()]
        named = [number for number, id in enumerate(ids) if id]
        new = seen.add(ids[number] for number in named)
        repeated = [number for number, first in zip(named, new, strict=True) if not first]
        for number in repeated:
            yield InputError(row["file"], None, "an earlier map has this id; only that one is used", ids[number])
        yield row | {"repeated": repeated}


def _groups(run: PseudoMsa) -> Iterator[Row]:
    """Row groups, by the footers alone."""
    each = PER_RESIDUE_S + PER_LETTER_S * run.sequences * run.write_msa
    for file in files_of(run.maps):
        metadata = _footer(file)
        for group in range(metadata.num_row_groups):
            found = metadata.row_group(group)
            numbers = sum(
                found.column(number).num_values
                for number in range(found.num_columns)
                if found.column(number).path_in_schema.startswith("prob_map.")
            )
            residues = numbers / N_AA
            yield {"file": str(file), "group": group, "maps": found.num_rows, "cost": each * residues, "repeated": []}


def amount(run: PseudoMsa) -> Amount:
    """How many maps there are, by the footers alone."""
    found = list(_groups(run))
    return Amount(sum(row["maps"] for row in found), sum(row["cost"] for row in found))


def cost(run: PseudoMsa, row: Row) -> float:
    return row["cost"]


def cut(run: PseudoMsa, row: Row, seconds: float) -> list[tuple[int, int]]:
    """Runs of maps of a large row group."""
    count = min(row["maps"], max(1, round(row["cost"] / seconds)))
    ends = [row["maps"] * number // count for number in range(count + 1)]
    return list(zip(ends, ends[1:], strict=False))


def work(run: PseudoMsa, spans: list[Span]) -> Done:
    rejected: list[InputError] = []
    return Done(spooled(_tables(run, spans, rejected)), rejected)


def _tables(run: PseudoMsa, spans: list[Span], rejected: list[InputError]) -> Iterator[pa.Table]:
    """PSSMs of some maps at a time; what cannot be used is added to `rejected`."""
    stored = placed(schemas.PSEUDO_PSSMS)
    held: list[dict] = []
    for span in spans:
        repeated = set(span.row["repeated"])
        for at, id, sequence, flat in _maps(span):
            if at in repeated:
                continue
            try:
                if not id or not sequence or flat is None:
                    raise ValueError("the id, the sequence or the map is missing")
                pssm_LA = _pssm(run, id, sequence, flat)
            except ValueError as error:
                rejected.append(InputError(span.row["file"], None, str(error), id))
                continue
            held.append({"number": span.number, "start": at, "id": id, "sequence": sequence, "pssm": pssm_LA.ravel()})
            if len(held) == AT_ONCE:
                yield pa.Table.from_pylist(held, schema=stored)
                held = []
    yield pa.Table.from_pylist(held, schema=stored)


def _maps(span: Span) -> Iterator[tuple[int, str | None, str | None, np.ndarray | None]]:
    """Row in the group, id, sequence and map; 16 maps in memory at a time."""
    at, stop = 0, span.stop or span.row["maps"]
    for batch in read_batches(span.row["file"], COLUMNS, 16, [span.row["group"]]):
        for number in range(max(span.start - at, 0), min(stop - at, batch.num_rows)):
            id, sequence, flat = (batch[name][number] for name in COLUMNS)
            values = flat.values.to_numpy(zero_copy_only=False) if flat.is_valid else None
            yield at + number, id.as_py(), sequence.as_py(), values
        at += batch.num_rows
        if at >= stop:
            return


def _pssm(run: PseudoMsa, id: str, sequence: str, flat: np.ndarray) -> np.ndarray:
    """X_b of one protein, shape (L, 20); with `write_msa`, the alignment is written and its residues are counted."""
    prob_LA, query_L = check_map(flat, sequence)
    rng = None if run.expected else generator(run.seed, "pseudo-msa", id)
    if run.write_msa:
        assert rng
        codes_NL = pseudo_msa(prob_LA, query_L, rng, run.sequences)
        packed = gzip.compress(a3m(codes_NL, id), compresslevel=1, mtime=0)  # a time would differ per run
        (run.msas / f"{file_name(id, set())}.a3m.gz").write_bytes(packed)
        counts_LA = count_residues(codes_NL)
    else:
        counts_LA = pseudo_counts(prob_LA, query_L, rng, run.sequences)
    return pssm(counts_LA, run.sequences + 1, run.background)


def schema(run: PseudoMsa) -> pa.Schema:
    return schemas.PSEUDO_PSSMS.with_metadata((schemas.PSEUDO_PSSMS.metadata or {}) | {"background": run.background})


def shown(run: PseudoMsa, summary: dict) -> dict[str, object]:
    return {"alignments": run.msas} if run.write_msa else {}


JOB = BatchJob(
    name="pseudo-PSSMs", unit="proteins", table="pssms", source=SOURCE, identity=identity, grows=("maps",), rows=rows,
    cost=cost, work=work, schema=schema, cut=cut, amount=amount, shown=shown,
)  # fmt: skip
