"""Lines of a user's table: CSV, whose cells are text, or Parquet; with the arrays of structures as arrays."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from typing import Any

from protray.data.location import Location
from protray.data.parquet import read_parquet
from protray.data.tasks.observed import STRUCTURE
from protray.seq.errors import SHOWN, InputError


def table_lines(path: Location, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any] | InputError]]:
    """Lines of a CSV file, or rows of a Parquet file, from 1 on; a CSV's header is its first line.

    Cells of a CSV are text, or None where they are empty; a line with too many or too few is an error.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give a table in CSV or Parquet with the columns {', '.join(needed)}")
    read = _parquet_lines if path.suffix == ".parquet" else _csv_lines
    names, lines = read(path)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{path} has several columns {twice[0]!r}")
    if missing := [name for name in needed if name not in names]:
        parted = "; columns are parted by commas" if any(set(";\t") & set(name) for name in names) else ""
        has = ", ".join(names) or "none, for it is empty"
        raise ValueError(f"{path} has no column {missing[0]!r}; it has {has}{parted}")
    yield from lines


def _parquet_lines(path: Location) -> tuple[list[str], Iterator[tuple[int, dict[str, Any]]]]:
    """Names of the columns, and the rows with their numbers; arrays of structures as arrays."""
    table = read_parquet(path)
    arrays = [name for name in STRUCTURE if name in table.column_names]

    def lines() -> Iterator[tuple[int, dict[str, Any]]]:
        for number, raw in enumerate(table.drop_columns(arrays).to_pylist()):
            found = {name: table[name][number] for name in arrays}
            yield number + 1, raw | {
                name: value.values.to_numpy(zero_copy_only=False) if value.is_valid else None
                for name, value in found.items()
            }  # fmt: skip

    return table.column_names, lines()


def _csv_lines(path: Location) -> tuple[list[str], Iterator[tuple[int, dict[str, Any] | InputError]]]:
    """Names of the columns, and the lines with their numbers; empty ones do not count, but are counted."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} cannot be read as CSV: it is no text in UTF-8 ({error.reason})") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names = next(reader, [])

    def lines() -> Iterator[tuple[int, dict[str, Any] | InputError]]:
        try:
            for cells in reader:
                if len(cells) == len(names):
                    yield reader.line_num, {name: cell or None for name, cell in zip(names, cells, strict=True)}
                elif cells:
                    told = f"{len(cells)} cells, but the first line names {len(names)} columns; quote commas"
                    yield reader.line_num, InputError(path, reader.line_num, told, cells[0][:SHOWN])
        except csv.Error as error:
            raise ValueError(f"{path} cannot be read as CSV: line {reader.line_num}: {error}") from None

    return names, lines()
