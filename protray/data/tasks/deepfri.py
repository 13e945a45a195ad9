"""EC numbers and GO terms of PDB chains, with their splits, as DeepFRI has them (Nature Communications 12:3168, 2021).

A folder of its repository, or of torchdrug's archives EnzymeCommission and GeneOntology with all in it unpacked:

``NAME_annot.tsv``  chains (1ABC-A) and their labels; those of GO in three columns, with all terms above them
``NAME_test.csv``   which test chains have less than 30, 40, 50, 70, 95 % identity to every training chain
``NAME_train.txt``, ``NAME_valid.txt``, ``NAME_test.txt``  the chains of each split

A split without a list has the chains of ``NAME_test.csv`` or, of torchdrug, those that name the files in the folders
``train``, ``valid`` and ``test`` (1ABC-A_1.pdb).
"""

import re
from typing import Any

from protray.data.location import Location
from protray.data.tasks.lines import table_lines
from protray.seq.errors import InputError
from protray.struct.files.io import structure_stem

SPLITS = {"train": "train", "valid": "validation", "test": "test"}
COLUMNS = {
    "ec": "EC-number", "go-mf": "molecular_function", "go-bp": "biological_process", "go-cc": "cellular_component",
}  # fmt: skip
CHAINS, ANNOTATIONS = "PDB-chain", "_annot.tsv"


def is_deepfri(folder: Location | None) -> bool:
    """Whether a folder has that layout."""
    return folder is not None and folder.is_dir() and bool(folder.files(f"*{ANNOTATIONS}"))


def read_deepfri(folder: Location, task: str) -> dict[str, dict[str, Any]]:
    """What is known of each chain of a split, by its name (1ABC-A): ``labels``, ``split``, ``below_30`` and the like.

    `task` is ec, go-bp, go-mf or go-cc.  Chains without a label of it are left out.

    Raises
    ------
    ValueError
        If not exactly one file has such labels, a split has no chain, or a chain is in two.
    InputError
        If a file cannot be read.
    """
    file, lines, column = _annotations(folder, task)
    below = _identities(file)
    split_of = _splits(file, list(below))
    found = {}
    for number, cells in lines:
        if len(cells) <= column or not cells[column] or cells[0] not in split_of:
            continue  # branches of GO without a term may be cut off
        if len(cells) > 1 + len(COLUMNS):
            raise InputError(file, number, f"{len(cells)} columns, more than a chain and its labels", cells[0])
        labels = [word.strip() for word in cells[column].split(",") if word.strip()]
        found[cells[0]] = {"labels": labels, "split": split_of[cells[0]]} | below.get(cells[0], {})
    return found


def chain_names(id: str, source: str) -> tuple[str, str]:
    """Names that a chain of a dataset may have there: by its file, and by entry and chain.

    >>> chain_names("1ABC-A_1_A", "train/1ABC-A_1.pdb"), chain_names("1abc_A", "pdb/1abc.cif.gz")
    (('1ABC-A', '1ABC-A_1-A'), ('1abc', '1ABC-A'))
    """
    entry, _, chain = id.rpartition("_")
    return structure_stem(source).split("_")[0], f"{entry.upper()}-{chain}"


def _annotations(folder: Location, task: str) -> tuple[Location, list[tuple[int, list[str]]], int]:
    """The file with labels of a task, its lines behind the header, and the column of the labels."""
    files, found = folder.files(f"*{ANNOTATIONS}"), []
    for file in files:
        lines = _lines(file)
        start = max((n for n, (_, cells) in enumerate(lines) if cells[0].lstrip("# ") == CHAINS), default=-1)
        columns = [n for n, name in enumerate(lines[start][1]) if COLUMNS[task] in name] if start >= 0 else []
        found += [(file, lines[start + 1 :], column) for column in columns]
    if len(found) != 1:
        told = f"{len(found)} columns of {COLUMNS[task]} in lines that begin with {CHAINS!r}; there must be one"
        raise ValueError(f"{folder} has {told}, in {', '.join(file.name for file in files)}")
    return found[0]


def _splits(annotations: Location, tested: list[str]) -> dict[str, str]:
    """Split of each chain, by the files beside the annotations; those `tested` where no list has the test chains."""
    folder, name = annotations.parent, annotations.name.removesuffix(ANNOTATIONS)
    found: dict[str, str] = {}
    for word, split in SPLITS.items():
        file = folder / f"{name}_{word}.txt"
        chains = [cells[0] for _, cells in _lines(file)] if file.is_file() else []
        chains = chains or (tested if word == "test" else [])
        chains = chains or [structure_stem(one.name).split("_")[0] for one in (folder / word).files("*-*")]
        if not chains:
            told = f"neither {file.name} nor the folder {word} beside {annotations.name} names its chains"
            raise ValueError(f"{folder} has no chain of the split {word}: {told}")
        if twice := [chain for chain in chains if found.get(chain, split) != split]:
            raise ValueError(f"{folder}: {twice[0]} is in {found[twice[0]]} and in {split}")
        found |= dict.fromkeys(chains, split)
    return found


def _identities(annotations: Location) -> dict[str, dict[str, str]]:
    """``below_30`` and the like of each test chain."""
    file = annotations.parent / f"{annotations.name.removesuffix(ANNOTATIONS)}_test.csv"
    found = {}
    for _, cells in table_lines(file, (CHAINS,)) if file.is_file() else ():
        if isinstance(cells, InputError):
            raise cells
        digits = {name: re.findall(r"\d+", name) for name in cells}
        below = {f"below_{of[0]}": str(cells[name]) for name, of in digits.items() if of}
        found[str(cells[CHAINS]).strip()] = below
    return found


def _lines(file: Location) -> list[tuple[int, list[str]]]:
    """Numbers and cells of the lines that are not empty."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(file, None, f"is no text in UTF-8 ({error.reason})") from None
    cells = [[cell.strip() for cell in line.split("\t")] for line in text.splitlines()]
    return [(number, found) for number, found in enumerate(cells, start=1) if found[0]]
