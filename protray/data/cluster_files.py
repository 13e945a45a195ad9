"""Files that say which proteins belong together, and which split a cluster is in."""

from pathlib import Path

from protray.data.splits import SPLITS
from protray.seq.errors import InputError
from protray.seq.files.packed import read_lines


def read_clusters(path: str | Path) -> dict[str, str]:
    """Read a cluster file; returns protein id -> cluster.

    Either two tab-separated columns, or RCSB's files (clusters-by-entity-30.txt, bc-30.out): one cluster a line, the
    ids of its members, such as 4HHB_1 or 4HHB_A, with blanks between them.  Those clusters are named after their first
    members.

    With a header ``id<TAB>cluster`` (in either order) the names decide, and a third column ``split`` may follow, for
    `read_splits`.  Without a header, the column whose entries never repeat is the protein and the other the cluster:
    that reads both ``id<TAB>cluster`` and the ``representative<TAB>member`` of ``mmseqs easy-cluster``.

    Raises
    ------
    InputError
        For a line that has not two columns, a protein on two lines, an empty file.
    """
    lines = read_lines(path)
    if _is_rcsb(lines):
        return _read_rcsb(lines, path)
    names, rows = _read_columns(lines, path)
    column = names.index("id") if names else min((0, 1), key=lambda c: _first_repeat(rows, c) is not None)
    other = names.index("cluster") if names else 1 - column
    repeat = _first_repeat(rows, column)
    if repeat:
        raise InputError(path, repeat[0], f"{repeat[1]!r} is on two lines; a protein belongs to one cluster")
    return {fields[column]: fields[other] for _, fields in rows}


def read_splits(path: str | Path) -> dict[str, str]:
    """Cluster -> split, of a cluster file whose header is ``id<TAB>cluster<TAB>split``; {} of any other.

    Raises
    ------
    InputError
        For a split of another name, or a cluster in two of them, which would part relatives.
    """
    lines = read_lines(path)
    names, rows = ([], []) if _is_rcsb(lines) else _read_columns(lines, path)
    if "split" not in names:
        return {}
    found: dict[str, str] = {}
    for number, fields in rows:
        cluster, split = fields[names.index("cluster")], fields[names.index("split")]
        if split not in SPLITS:
            raise InputError(path, number, f"the split is {split!r}; it must be {', '.join(SPLITS[:2])} or {SPLITS[2]}")
        if found.setdefault(cluster, split) != split:
            raise InputError(path, number, f"cluster {cluster!r} is in {split} here and in {found[cluster]} before")
    return found


def _read_columns(lines: list[str], path: str | Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, none without a header, and the lines below with their numbers."""
    names, rows, wanted = [], [], 2
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = [entry.strip() for entry in line.split("\t")]
        lower = [entry.lower() for entry in fields]
        if not rows and not names and sorted(lower) in (["cluster", "id"], ["cluster", "id", "split"]):
            names, wanted = lower, len(lower)
            continue
        if len(fields) != wanted or not all(fields):
            how_many = {2: "two", 3: "three"}[wanted]
            raise InputError(path, number, f"expected {how_many} tab-separated columns, found {line[:60]!r}")
        rows.append((number, fields))
    if not rows:
        raise InputError(path, None, "the cluster file is empty")
    return names, rows


def _first_repeat(rows: list[tuple[int, list[str]]], column: int) -> tuple[int, str] | None:
    """(line, entry) of the first entry of `column` that an earlier line has."""
    seen = set()
    for number, fields in rows:
        if fields[column] in seen:
            return number, fields[column]
        seen.add(fields[column])
    return None


def _is_rcsb(lines: list[str]) -> bool:
    """Whether a cluster file is one of RCSB's: no tabs, and every word an entry and what is in it."""
    words = [word for line in lines for word in line.split()]
    return bool(words) and all("_" in word for word in words) and not any("\t" in line for line in lines)


def _read_rcsb(lines: list[str], path: str | Path) -> dict[str, str]:
    clusters: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        members = line.split()
        for id in members:
            if clusters.setdefault(id, members[0]) != members[0]:
                raise InputError(path, number, f"{id!r} is on two lines; a protein belongs to one cluster")
    return clusters
