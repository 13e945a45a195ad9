"""Proteins with their functions: from a table, a dataset of structures with a table of labels, or the package.

Shape key:  N proteins   T labels
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protray.data.location import Location
from protray.data.parquet import read_parquet
from protray.data.splits import SPLITS, complete
from protray.data.structure.structures import FOLDER
from protray.data.tasks.deepfri import ANNOTATIONS, chain_names, is_deepfri, read_deepfri
from protray.data.tasks.examples import write_examples
from protray.data.tasks.labels import cath_at, ec_with_prefixes, frequent, label_matrix, labels_in
from protray.data.tasks.lines import table_lines
from protray.data.tasks.obo import Ontology
from protray.data.tasks.observed import STRUCTURE, observed_of
from protray.data.tasks.tables import TaskRow, and_errors, read_task_table, with_splits
from protray.seq.errors import InputError, first_of

log = logging.getLogger(__name__)

_BELOW = re.compile(r"below_(\d+)")
_YES, _NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no", "", "none")


@dataclass(frozen=True)
class Proteins:
    """Proteins that have a label, and which labels they have, in the order of `labels`."""

    rows: list[TaskRow]
    splits: list[str]
    clusters: list[str]
    target_NT: np.ndarray  # bool
    labels: list[str]
    names: dict[str, str]  # of GO terms

    def sizes(self) -> list[int]:
        """Proteins of each split."""
        counts = Counter(self.splits)
        return [counts[split] for split in SPLITS]

    def write(self, file: Location) -> None:
        """As ``schemas.EXAMPLES``; a column ``below_N`` of the input becomes the test set ``identity < N %``."""
        columns = {
            "id": [row.id for row in self.rows], "sequence": [row.sequence for row in self.rows],
            "split": self.splits, "cluster": self.clusters, "sets": [_sets(row) for row in self.rows],
        }  # fmt: skip
        write_examples(file, columns, self.target_NT)


def select(
    rows: Sequence[TaskRow], errors: Sequence[InputError], task: str, ontology: Ontology | None, least: int,
    ancestors: bool, seed: int, level: str = "topology",
) -> tuple[Proteins, list[InputError]]:  # fmt: skip
    """Proteins with the labels that are learnt: those that `least` training proteins have, ancestors included.

    A protein without labels is left out: it is not known to have no function.  Of the task ``cath`` labels are CATH
    codes as far as `level`, `least` counts clusters, and a protein whose domains differ in them is left out.

    Raises
    ------
    ValueError
        If no protein has a label, no label is frequent enough, or a split would be empty.
    """
    errors, kept, labels_N, mixed = list(errors), [], [], []
    unknown: Counter[str] = Counter()
    for row in rows:
        try:
            found, lost = _labels(row, task, ontology, ancestors, level)
        except ValueError as error:
            errors.append(row.error(str(error)))
            continue
        unknown.update(lost)
        if task == "cath" and len(found) > 1:
            mixed.append(row)
        elif found:
            kept.append(row)
            labels_N.append(found)
    seen = {one.id for one in (*kept, *mixed, *errors)}
    if bare := [row.id for row in rows if row.id not in seen]:
        log.warning("%d proteins have no label of the task and are left out: %s", len(bare), first_of(bare))
    if mixed:
        found = first_of([row.id for row in mixed])
        log.warning("%d chains have domains that differ in their %s and are left out: %s", len(mixed), level, found)
    if unknown:
        log.warning("%d labels are no terms of the ontology: %s", len(unknown), first_of(sorted(unknown)))
    if not kept:
        more = f" (column {column_of(task)})"
        more += f"; of their labels {first_of(sorted(unknown))} are no terms of the ontology" if unknown else ""
        raise ValueError(f"none of {len(rows)} proteins has a label of the task {task}{more}{and_errors(errors)}")
    places = with_splits(kept, seed)
    splits = [places[row.id][0] for row in kept]
    of: dict[str, set[str]] = {}  # labels of each training protein, or cluster
    for row, labels, split in zip(kept, labels_N, splits, strict=True):
        if split == "train":
            of.setdefault(places[row.id][1] if task == "cath" else row.id, set()).update(labels)
    names, counted = frequent(of.values(), least), "clusters" if task == "cath" else "proteins"
    target_NT = label_matrix(labels_N, names)
    some = np.flatnonzero(target_NT.any(axis=1)) if names else np.zeros(0, int)
    if rare := [kept[n].id for n in np.flatnonzero(~target_NT.any(axis=1))]:
        log.warning(
            "%d proteins have only labels of fewer than %d training %s, and are left out: %s",
            len(rare), least, counted, first_of(rare),
        )  # fmt: skip
    if not {splits[n] for n in some} >= set(SPLITS):
        raise ValueError(
            f"{len(names)} labels have at least {least} of {len(of)} training {counted}, too few for all three splits; "
            f"set --{'cath' if task == 'cath' else 'learn'}.least lower, or give more proteins" + and_errors(errors)
        )
    found = Proteins(
        [kept[n] for n in some], [splits[n] for n in some], [places[kept[n].id][1] for n in some], target_NT[some],
        names, {name: ontology.terms[name].name for name in names} if ontology else {},
    )  # fmt: skip
    return found, errors


def read_proteins(data: Location, labels: Location | None, task: str) -> tuple[list[TaskRow], list[InputError]]:
    """Rows of a table, or of a dataset of jobs/prepare_structures.py whose labels are in a table, or in a folder as of
    `protray.data.tasks.deepfri`.

    Labels that bring ``split``, ``cluster`` or ``below_N`` settle these for the dataset's chains.
    """
    if not (data / "dataset.json").is_file():
        return read_task_table(data, column_of(task))
    if not labels:
        raise ValueError(f"{data} is a dataset of structures; give --labels, a table of id and {column_of(task)}")
    files = (data / FOLDER).files("*.parquet")
    if labels.is_dir():
        return _public_rows(files, labels, task), []
    lines = [raw for _, raw in table_lines(labels, ("id", column_of(task)))]
    errors = [raw for raw in lines if isinstance(raw, InputError)]
    of = {str(raw["id"]): raw for raw in lines if not isinstance(raw, InputError)}
    settled = {name: complete({id: raw.get(name) for id, raw in of.items()}, name) for name in ("split", "cluster")}
    known = {
        id: {name: value for name, value in raw.items() if name == column_of(task) or _BELOW.fullmatch(name)}
        | {name: values[id] for name, values in settled.items() if values}
        for id, raw in of.items()
    }
    rows = [row for file in files for row in _stored(file, known)]
    lost = sorted(of.keys() - {row.id for row in rows})
    if lost and not rows:
        raise ValueError(f"none of the {len(lost)} ids of {labels} is in {data}: {first_of(lost)}")
    return rows, [*errors, *(InputError(labels, None, f"{data} has no such chain", id) for id in lost)]


def bundled_proteins(task: str) -> list[TaskRow]:
    """Chains of the package with their labels: the sample's, more enzymes, and chains with side chains."""
    from protray.data.sample import ENZYMES, FULL_ATOM, LABELS, SAMPLE

    column = task if task in ("ec", "cath") else "go"
    rows = []
    for labels, chains in ((LABELS, SAMPLE), (ENZYMES, ENZYMES), (FULL_ATOM, FULL_ATOM)):
        known = read_parquet(labels, ["id", column]).to_pylist()
        rows += _stored(Location(chains), {row["id"]: {column_of(task): row[column]} for row in known})
    return rows


def column_of(task: str) -> str:
    """The column of a table that has the labels."""
    return "cath" if task == "cath" else "labels"


def _public_rows(files: Sequence[Location], folder: Location, task: str) -> list[TaskRow]:
    """Chains of a dataset that a folder as of `protray.data.tasks.deepfri` names: rarely all of the PDB is there."""
    if not is_deepfri(folder):
        raise ValueError(f"{folder} is a folder without *{ANNOTATIONS}; unpack the archives in it, or give a table")
    if task == "cath":
        raise ValueError(f"{folder} has EC numbers or GO terms, and no CATH codes")
    known = read_deepfri(folder, task)
    rows = []
    for file in files:
        named = read_parquet(file, ["id", "source"]).to_pylist()
        names = {row["id"]: next((n for n in chain_names(**row) if n in known), None) for row in named}
        rows += _stored(file, {id: known[name] for id, name in names.items() if name})
    if not rows:
        raise ValueError(f"none of the {len(known)} chains of {folder} is in the dataset: {first_of(sorted(known))}")
    if len(rows) < len(known):
        log.warning(
            "%d of the %d chains of %s are in the dataset; the others are left out", len(rows), len(known), folder
        )
    return rows


def _stored(file: Location, known: Mapping[str, Mapping[str, Any]]) -> Iterator[TaskRow]:
    """Chains of a file of ours of which something is known, such as labels; a split that is known is not the file's."""
    table = read_parquet(file)
    for line, id in enumerate(table["id"].to_pylist()):
        if id not in known:
            continue
        sequence = table["sequence"][line].as_py()
        cells = {name: table[name][line] for name in STRUCTURE if name in table.column_names}
        observed = observed_of(
            sequence, {name: cell.values.to_numpy() for name, cell in cells.items() if cell.is_valid}
        )
        more = {name: table[name][line].as_py() for name in ("split", "cluster")}
        yield TaskRow(id, sequence, str(file), line + 1, observed, {**more, **known[id]})


def _labels(
    row: TaskRow, task: str, ontology: Ontology | None, ancestors: bool, level: str
) -> tuple[set[str], set[str]]:
    """Labels of a protein with what follows from them; and those that the ontology does not know."""
    words = labels_in(row.more[column_of(task)])
    if ontology:
        return ontology.propagated(words, task.removeprefix("go-").upper())
    if task == "cath":
        return {cath_at(word, level) for word in words}, set()
    if task != "ec":
        return set(words), set()  # terms above them included, of a layout that has them all
    found = [ec_with_prefixes(word) for word in words]
    return {label for labels in found for label in (labels if ancestors else labels[-1:])}, set()


def _sets(row: TaskRow) -> list[str]:
    sets = []
    for name, value in row.more.items():
        if match := _BELOW.fullmatch(name):
            if str(value).lower() not in (*_YES, *_NO):
                raise row.error(f"column {name!r} has {value!r}; give 1 or 0")
            if str(value).lower() in _YES:
                sets.append(f"identity < {match[1]} %")
    return sets
