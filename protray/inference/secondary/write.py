"""Predictions as files that other programs read; the extension of the name decides which.

``.parquet``  one row per protein: id, sequence, ss3, prob (L x 3, columns H, E, C), msa_count
``.3line``    ``>id``, the sequence and its states, a line each
``.ss2``      PSIPRED's vertical format; it holds one protein, so several become a folder of ``<id>.ss2``
``.horiz``    PSIPRED's horizontal format, likewise
"""

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray import __version__
from protray.data.location import Location
from protray.data.parquet import WRITING
from protray.data.schemas import PREDICTIONS
from protray.seq.files.names import quoted

if TYPE_CHECKING:
    from protray.inference.secondary.predict import Prediction

# without the enhanced PSSM, which would be 20 of 23 numbers per residue
PREDICTED = PREDICTIONS.remove(PREDICTIONS.get_field_index("pssm_enhanced"))
ROWS_PER_GROUP = 1024  # of Parquet: about 5 MB at 350 residues, all that is in memory at once
PER_LINE = 60  # residues of PSIPRED's horizontal format
LONGEST_NAME = 200  # letters of a file name; file systems stop at 255 bytes


def check_format(out: Location) -> None:
    """Raise ValueError if the extension of `out` is not one of a format that can be written."""
    if out.suffix not in _WRITERS:
        raise ValueError(f"{out}: extension {out.suffix!r} names no format; known are {', '.join(_WRITERS)}")


def to_table(sequences: Iterable[str], predictions: "Iterable[Prediction]") -> pa.Table:
    """Rows of ``PREDICTED``, one for each prediction and the sequence it belongs to."""
    rows = [
        {
            "id": prediction.id,
            "sequence": sequence,
            "ss3": prediction.ss3,
            "prob": prediction.prob_L3.astype(np.float32).ravel(),
            "msa_count": prediction.msa_count,
        }
        for sequence, prediction in zip(sequences, predictions, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=PREDICTED)


def write(tables: Iterable[pa.Table], out: Location, many: bool) -> None:
    """Write all rows of `tables`, in order, so that what appears under the name `out` is whole; it replaces what was.

    Parameters
    ----------
    tables : iterable of Table
        Of schema ``PREDICTED``; read once, one at a time.
    out : Location
        See the extensions above.
    many : bool
        Whether several proteins were asked for: then ``.ss2`` and ``.horiz`` make a folder, however many could be
        predicted.
    """
    check_format(out)
    with out.writing() as partial:
        _WRITERS[out.suffix](tables, partial, many)


def three_line(row: dict) -> str:
    return f">{_one_line(row['id'])}\n{row['sequence']}\n{row['ss3']}\n"


def ss2(row: dict) -> str:
    """PSIPRED's vertical format (Jones 1999): a comment, an empty line, and per residue P(coil), P(helix), P(strand).

    Programs that read it count on one comment line; ours names the protein there.
    """
    lines = [f"# PSIPRED VFORMAT (protray {__version__}) {_one_line(row['id'])}", ""]
    prob_L3 = np.asarray(row["prob"]).reshape(-1, 3)  # H, E, C
    for number, (letter, state, (h, e, c)) in enumerate(zip(row["sequence"], row["ss3"], prob_L3, strict=True), 1):
        lines.append("%4d %c %c  %6.3f %6.3f %6.3f" % (number, letter, state, c, h, e))  # noqa: UP031  PSIPRED's own
    return "\n".join(lines) + "\n"


def horiz(row: dict) -> str:
    """PSIPRED's horizontal format: lines of 60 residues, each below its state and the digit of its confidence.

    Confidence is ten times how far the most likely state is ahead of the next, rounded down, 9 at most.
    """
    ahead_L = np.diff(np.sort(np.asarray(row["prob"]).reshape(-1, 3), axis=1)[:, 1:], axis=1)[:, 0]
    digits = "".join(str(min(9, int(10 * ahead + 1e-5))) for ahead in ahead_L)
    lines = [f"# PSIPRED HFORMAT (protray {__version__}) {_one_line(row['id'])}"]
    for start in range(0, len(digits), PER_LINE):
        places = slice(start, start + PER_LINE)
        tens = range(start + 10, min(start + PER_LINE, len(digits)) + 1, 10)
        lines += ["", f"Conf: {digits[places]}", f"Pred: {row['ss3'][places]}", f"  AA: {row['sequence'][places]}"]
        lines += ["      " + "".join(f"{ten:10d}" for ten in tens), ""]
    return "\n".join(lines) + "\n"


def file_name(id: str, taken: set[str]) -> str:
    """A file name without extension, as `protray.seq.files.names.quoted`; added to the names in `taken`.

    One that is too long, or taken, also by one that differs in case alone (macOS), is cut, and ends with eight digits
    of the id's hash: it does not give the id back.
    """
    name = quoted(id) or "_"
    if len(name) > LONGEST_NAME or name.casefold() in taken:
        whole = re.sub(r"%.?$", "", name[:LONGEST_NAME])
        name = f"{whole}-{hashlib.sha256(id.encode()).hexdigest()[:8]}"
    taken.add(name.casefold())
    return name


def _write_parquet(tables: Iterable[pa.Table], partial: Path, many: bool) -> None:
    with pq.ParquetWriter(partial, PREDICTED, **WRITING) as writer:
        held: list[pa.Table] = []
        for table in tables:
            held.append(table)
            if sum(table.num_rows for table in held) >= ROWS_PER_GROUP:
                writer.write_table(pa.concat_tables(held))
                held = []
        if held:
            writer.write_table(pa.concat_tables(held))


def _write_three_line(tables: Iterable[pa.Table], partial: Path, many: bool) -> None:
    with partial.open("w", encoding="utf-8") as file:
        file.writelines(three_line(row) for row in _rows(tables))


def _write_each(form: Callable[[dict], str], tables: Iterable[pa.Table], partial: Path, many: bool) -> None:
    """A file of one protein, or a folder of many."""
    if not many:
        partial.write_text("".join(form(row) for row in _rows(tables)), encoding="utf-8")
        return
    partial.mkdir()
    taken: set[str] = set()
    for row in _rows(tables):
        (partial / f"{file_name(row['id'], taken)}.{form.__name__}").write_text(form(row), encoding="utf-8")


def _rows(tables: Iterable[pa.Table]) -> Iterator[dict]:
    for table in tables:
        for batch in table.to_batches(max_chunksize=64):
            yield from batch.to_pylist()


def _one_line(id: str) -> str:
    return " ".join(id.split())


_WRITERS: dict[str, Callable[[Iterable[pa.Table], Path, bool], None]] = {
    ".parquet": _write_parquet,
    ".3line": _write_three_line,
    ".ss2": functools.partial(_write_each, ss2),
    ".horiz": functools.partial(_write_each, horiz),
}
