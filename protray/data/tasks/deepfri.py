"""EC numbers and GO terms of PDB chains, with their splits, as DeepFRI has them (Nature Communications 12:3168, 2021).

A folder of its repository, or of torchdrug's archives EnzymeCommission and GeneOntology with all in it unpacked:

``*_annot.tsv``  chains (1ABC-A) and their labels; those of GO in three columns, with all terms above them
``*_test.csv``   which test chains have less than 30, 40, 50, 70, 95 % identity to every training chain
``*_train.txt``, ``*_valid.txt``, ``*_test.txt``  the chains of each split; where there are none, the file names in the
folders ``train``, ``valid`` and ``test`` (1ABC-A_1.pdb)
"""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from protray.data.location import Location
from protray.seq.errors import InputError

SPLITS = {"train": "train", "valid": "validation", "test": "test"}
BRANCHES = {"go-mf": "molecular_function", "go-bp": "biological_process", "go-cc": "cellular_component"}
CHAINS = "### PDB-chain"  # how the last line of the header begins
ANNOTATED = "*_annot.tsv"


def is_deepfri(folder: Location | None) -> bool:
    """Whether a folder has that layout."""
    return folder is not None and folder.is_dir() and bool(folder.files(ANNOTATED))


def read_deepfri(folder: Location, task: str) -> dict[str, dict[str, Any]]:
    """What is known of each chain of a split, by its name (1ABC-A): ``labels``, ``split``, ``below_30`` and the like.

    `task` is ec, go-bp, go-mf or go-cc.  Chains without a label of it are left out.

    Raises
    ------
    ValueError
        If the folder says of no chain which split it is in.
    InputError
        If an annotation file has no such labels, or a line of another form.
    """
    split_of = _splits(folder)
    if not split_of:
        wanted = "*_train.txt, *_valid.txt and *_test.txt, or folders train, valid and test with the files of chains"
        raise ValueError(f"{folder} does not say which chains are in which split; needed are {wanted}")
    below = _identities(folder)
    found = {}
    for file in folder.files(ANNOTATED):
        for chain, labels in _annotations(file, task):
            if chain in split_of and labels:
                found[chain] = {"labels": labels, "split": split_of[chain]} | below.get(chain, {})
    return found


def chain_names(id: str, source: str) -> tuple[str, str]:
    """Names that a chain of a dataset may have there: by its file, and by entry and chain.

    >>> chain_names("1ABC-A_1_A", "train/1ABC-A_1.pdb"), chain_names("1abc_A", "pdb/1abc.cif")
    (('1ABC-A', '1ABC-A_1-A'), ('1abc.cif', '1ABC-A'))
    """
    entry, _, chain = id.rpartition("_")
    return source.rpartition("/")[2].split("_")[0], f"{entry.upper()}-{chain}"


def _annotations(file: Location, task: str) -> Iterator[tuple[str, list[str]]]:
    """Chains of a file and their labels."""
    lines = list(_rows(file, "\t"))
    start = max((n for n, (_, cells) in enumerate(lines) if cells[0].startswith(CHAINS)), default=-1)
    header = lines[start][1] if start >= 0 else []
    wanted = BRANCHES.get(task, "EC-number")
    column = next((n for n, name in enumerate(header) if wanted in name), None)
    if column is None:
        told = f"no line that begins with {CHAINS!r} and names a column of {wanted}; it names {', '.join(header[1:])}"
        raise InputError(
            file, None, told if start >= 0 else f"no line begins with {CHAINS!r}: these are no annotations"
        )
    for number, cells in lines[start + 1 :]:
        if len(cells) > len(header):
            raise InputError(file, number, f"{len(cells)} columns, the header has {len(header)}", cells[0])
        yield cells[0], [word for word in cells[column].split(",") if word] if column < len(cells) else []


def _splits(folder: Location) -> dict[str, str]:
    """Split of each chain; of lists where there are some."""
    found = {}
    for word, split in SPLITS.items():
        for file in folder.files(f"*_{word}.txt"):
            found |= {cells[0].strip(): split for _, cells in _rows(file, "\t")}
    if found:
        return found
    for word, split in SPLITS.items():
        found |= {file.name.split("_")[0]: split for file in (folder / word).files("*_*")}
    return found


def _identities(folder: Location) -> dict[str, dict[str, str]]:
    """``below_30`` and the like of each test chain."""
    found = {}
    for file in folder.files("*_test.csv"):
        (_, header), *lines = _rows(file, ",")
        names = [f"below_{digits[0]}" for name in header[1:] if (digits := re.findall(r"\d+", name))]
        found |= {cells[0]: dict(zip(names, cells[1:], strict=True)) for _, cells in lines}
    return found


def _rows(file: Location, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Numbers and cells of the lines that are not empty."""
    reader = csv.reader(io.StringIO(file.read_bytes().decode("utf-8")), delimiter=delimiter)
    yield from ((reader.line_num, cells) for cells in reader if cells)
