"""A user's table of proteins (CSV or Parquet), with what is known of each: labels, a number, a mutation.

Columns that every table has: ``id``, ``sequence``.  A structure is optional: ``backbone_cA`` and ``index``, and maybe
``sidechains_cA`` and ``chain_index``, as in ``schemas.STRUCTURES``; or ``structure``, a PDB or mmCIF file (its path
from the table's folder), and maybe ``chain``.
Also optional: ``split`` (train, validation, test) and ``cluster``.  Which further columns count is the task's business.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from protray.data.location import Location
from protray.data.splits import SPLITS, cluster_by_identity, complete, share_clusters, warn_of_related
from protray.data.tasks.lines import table_lines
from protray.data.tasks.observed import STRUCTURE, Observed, observed_by
from protray.seq.errors import SHOWN, InputError
from protray.seq.fasta import codes_of, plain_letters


@dataclass(frozen=True)
class TaskRow:
    """One row: a protein, and what else the table says of it."""

    id: str
    sequence: str
    file: str
    line: int
    observed: Observed | None = None
    more: Mapping[str, Any] = field(default_factory=dict)  # the other columns

    def error(self, reason: str) -> InputError:
        return InputError(self.file, self.line, reason, self.id)


def read_task_table(path: Location, *more: str) -> tuple[list[TaskRow], list[InputError]]:
    """Read the rows, and an error for each that cannot be used; `more` columns that there must be.

    Raises
    ------
    ValueError
        If there is no such file, it is neither CSV nor Parquet, or lacks a column.
    """
    rows, errors, seen = [], [], {}
    for line, raw in table_lines(path, ("id", "sequence", *more)):
        found = raw if isinstance(raw, InputError) else _row(raw, path, line)
        if not isinstance(found, InputError) and (before := seen.setdefault(found.id, line)) != line:
            found = found.error(f"id {found.id!r} is also that of line {before}, which is kept")
        if isinstance(found, InputError):
            errors.append(found)
        else:
            rows.append(found)
    return rows, errors


def and_errors(errors: Sequence[InputError]) -> str:
    """What stands behind a message if some rows cannot be used: they may be why."""
    return f"; rows that cannot be used: {len(errors)}, the first: {errors[0]}" if errors else ""


def rows_digest(rows: Iterable[TaskRow]) -> str:
    """What identifies the content of rows, structures read from files included."""
    state = hashlib.sha256()
    for row in rows:
        state.update(repr((row.id, row.sequence, sorted(row.more.items(), key=lambda item: item[0]))).encode())
        if row.observed:
            state.update(row.observed.sequence.encode())
            for array in row.observed.stored.values():
                state.update(b"" if array is None else array.tobytes())
    return state.hexdigest()[:16]


def with_splits(rows: list[TaskRow], seed: int) -> dict[str, tuple[str, str]]:
    """Split and cluster of each row, by id.

    Splits are those of the table if all rows have one.  Otherwise whole clusters are drawn: those of the column
    ``cluster``, or of `protray.data.splits.cluster_by_identity` at 25 %.

    Raises
    ------
    ValueError
        If only some rows have a split or a cluster, a split is unknown or has no row, or there are fewer than three
        clusters.
    """
    clusters = complete({row.id: row.more.get("cluster") for row in rows}, "cluster")
    clusters = clusters or _by_identity({row.id: row.sequence for row in rows})
    splits = complete({row.id: row.more.get("split") for row in rows}, "split")
    for row in rows:
        if splits and splits[row.id] not in SPLITS:
            raise ValueError(f"{row.file}:{row.line}: split {splits[row.id]!r} is none of {', '.join(SPLITS)}")
    splits = splits or share_clusters(clusters, seed)
    warn_of_related(clusters, splits)
    for split in SPLITS:
        if split not in splits.values():
            raise ValueError(f"{rows[0].file if rows else 'the table'}: no row of the split {split!r} can be used")
    return {row.id: (splits[row.id], clusters[row.id]) for row in rows}


def _by_identity(sequences: Mapping[str, str]) -> dict[str, str]:
    """Rows of equal sequences, such as mutations of one protein, are looked at once."""
    first: dict[str, str] = {}
    for id in sorted(sequences):
        first.setdefault(sequences[id], id)
    clusters = cluster_by_identity({id: sequence for sequence, id in first.items()})
    return {id: clusters[first[sequence]] for id, sequence in sequences.items()}


def _row(raw: Mapping[str, Any], path: Location, line: int) -> TaskRow | InputError:
    id, sequence = raw["id"], plain_letters(str(raw["sequence"] or "").strip())
    if id in (None, ""):
        return InputError(path, line, "no id")
    try:
        codes_of(sequence)
        observed = observed_by(raw, sequence, path)
    except ValueError as error:
        return InputError(path, line, str(error), str(id)[:SHOWN])
    more = {name: value for name, value in raw.items() if name not in ("id", "sequence", *STRUCTURE)}
    return TaskRow(str(id), sequence, str(path), line, observed, more)
