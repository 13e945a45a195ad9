"""Rows of probability maps on their way to a table: parts that actors write, and the table of a shard made of them.

A part is an Arrow file, mapped and not read, with the rows of any spans of the shard's proteins; a long protein is
spread over several.  What is missing in a shard is what no part covers.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.storage.files import whole
from protray.data import schemas
from protray.data.arrow import map_arrow, write_arrow
from protray.data.parquet import WRITING, read_parquet
from protray.seq.alphabet import N_AA

log = logging.getLogger(__name__)

BYTES_AT_ONCE = 32 << 20  # of maps in memory, and in a row group of the table
OPEN_PARTS = 64


@dataclass(frozen=True, order=True)
class Span:
    """Positions `start` to `stop` - 1 of the protein in one row of a shard."""

    row: int
    start: int
    stop: int


@dataclass(frozen=True)
class Rows:
    """Rows of a map, and the hidden state of the whole protein beside its first ones."""

    span: Span
    prob_LA: np.ndarray
    hidden_LC: np.ndarray | None


def write_part(rows: list[Rows], path: Path, schema: pa.Schema) -> None:
    """Write a part, whole or not at all, with numbers as in `schema`, one of ``schemas.MAPS``."""
    columns = {
        "row": pa.array([part.span.row for part in rows], pa.int32()),
        "start": pa.array([part.span.start for part in rows], pa.int32()),
        "prob_map": _lists([part.prob_LA for part in rows], schema.field("prob_map").type),
        "lm_hidden": _lists([part.hidden_LC for part in rows], schema.field("lm_hidden").type),
    }
    with whole(path) as partial:
        write_arrow(pa.table(columns), partial)


def spans_in(folder: Path) -> dict[Span, tuple[Path, int]]:
    """Every span that a part in `folder` covers, and where: file and row; a part that was cut short is removed."""
    found = {}
    for path in sorted(folder.glob("*.arrow")):
        try:
            table = map_arrow(path)
        except ValueError as error:  # its node lost power before the disk had it, or a disk failed
            log.warning("%s, which happens now", error)
            path.unlink()
            continue
        lengths = table["prob_map"].combine_chunks().value_lengths().to_numpy() // N_AA
        starts = zip(table["row"].to_pylist(), table["start"].to_pylist(), lengths.tolist(), strict=True)
        found |= {Span(row, start, start + n): (path, at) for at, (row, start, n) in enumerate(starts)}
    return found


def missing_spans(lengths: Iterable[int], covered: Iterable[Span]) -> Iterator[Span]:
    """What no span covers, in order; `lengths` are those of the proteins in rows 0, 1, ..."""
    by_row = _by_row(covered)
    for row, length in enumerate(lengths):
        reached = 0
        for span in by_row.get(row, []):
            if span.start > reached:
                yield Span(row, reached, span.start)
            reached = max(reached, span.stop)
        if reached < length:
            yield Span(row, reached, length)


def merge_parts(staged: Path, parts: Path, out: Path, schema: pa.Schema) -> int:
    """Write the maps of one shard, in the order of `staged`, whole or not at all; returns how many are complete.

    A protein of which positions are missing is left out; positions that two parts hold are taken once.
    """
    where = spans_in(parts)
    by_row = _by_row(where)
    table = read_parquet(staged, ["id", "sequence"])
    columns = lru_cache(maxsize=OPEN_PARTS)(_columns)
    held: list[tuple[str, str, np.ndarray, np.ndarray | None]] = []
    computed = size = 0
    with whole(out) as partial, pq.ParquetWriter(partial, schema, **WRITING) as writer:
        for row, (name, sequence) in enumerate(zip(table["id"], table["sequence"], strict=True)):
            spans = by_row.get(row, [])
            sequence = sequence.as_py()
            if any(missing_spans([len(sequence)], [Span(0, span.start, span.stop) for span in spans])):
                continue
            places = [(span, *where[span]) for span in spans]
            pieces, reached = [], 0
            for span, path, at in places:
                values = _list(columns(path)[0], at)
                assert values is not None  # only hidden states may be null
                pieces.append(values[max(0, reached - span.start) * N_AA :])
                reached = max(reached, span.stop)
            prob = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
            hidden = _list(columns(places[0][1])[1], places[0][2])
            held.append((name.as_py(), sequence, prob, hidden))
            computed += 1
            size += prob.nbytes + (0 if hidden is None else hidden.nbytes)
            if size > BYTES_AT_ONCE:
                writer.write_table(_table(held, schema))
                held, size = [], 0
        writer.write_table(_table(held, schema))
    return computed


def _by_row(spans: Iterable[Span]) -> dict[int, list[Span]]:
    by_row = defaultdict(list)
    for span in sorted(spans):
        by_row[span.row].append(span)
    return by_row


def _columns(path: Path) -> tuple[Any, Any]:
    table = map_arrow(path)
    return table["prob_map"].combine_chunks(), table["lm_hidden"].combine_chunks()


def _list(column: Any, at: int) -> np.ndarray | None:
    """The numbers in one row of a large list, without copying."""
    value = column[at]
    return value.values.to_numpy(zero_copy_only=False) if value.is_valid else None


def _lists(arrays: list[np.ndarray | None], kind: pa.LargeListType) -> pa.Array:
    """A column of flat lists; None becomes null."""
    dtype = kind.value_type.to_pandas_dtype()
    flat = [np.empty(0, dtype) if array is None else array.ravel().astype(dtype, copy=False) for array in arrays]
    offsets = np.zeros(len(flat) + 1, dtype=np.int64)
    np.cumsum([len(array) for array in flat], out=offsets[1:])
    values = pa.array(np.concatenate([np.empty(0, dtype), *flat]))
    mask = pa.array([array is None for array in arrays], pa.bool_())
    return pa.LargeListArray.from_arrays(pa.array(offsets), values, type=kind, mask=mask)


def _table(rows: list[tuple[str, str, np.ndarray, np.ndarray | None]], schema: pa.Schema) -> pa.Table:
    names, sequences, probs, hiddens = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = [
        pa.array(names, pa.string()),
        pa.array(sequences, pa.string()),
        _lists(list(probs), schema.field("prob_map").type),
        _lists(list(hiddens), schema.field("lm_hidden").type),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


assert schemas.MAPS.names == schemas.MAPS_FLOAT16.names == ["id", "sequence", "prob_map", "lm_hidden"]
