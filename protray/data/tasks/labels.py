"""Labels of proteins: EC numbers and GO terms with what follows from them, CATH codes, and which of them are learnt.

Shape key:  B proteins   T labels
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

CATH_LEVELS = ("class", "architecture", "topology")
_BETWEEN = re.compile(r"[\s,;|]+")  # labels in a cell of a CSV file
_EC = re.compile(r"(?:EC[ :]?)?(\d+)(?:\.(\d+|-))?(?:\.(\d+|-))?(?:\.(n?\d+|-))?")


def ec_with_prefixes(label: str) -> list[str]:
    """An EC number with all classes above it.

    Raises ValueError for what is no EC number.

    >>> ec_with_prefixes("3.4.21.4")
    ['3', '3.4', '3.4.21', '3.4.21.4']
    >>> ec_with_prefixes("3.4.-.-")
    ['3', '3.4']
    """
    found = _EC.fullmatch(label)
    if not found or not 1 <= int(found[1]) <= 7:
        raise ValueError(f"{label!r} is no EC number, such as 3.4.21.4 or 3.4.-.-; classes are 1 to 7")
    parts = [part for part in found.groups() if part and part != "-"]
    return [".".join(parts[: level + 1]) for level in range(len(parts))]


def cath_at(label: str, level: str) -> str:
    """A CATH code as far as `level`: class, architecture or topology.

    Raises ValueError for what is no such code, or ends above the level.

    >>> cath_at("3.40.50.300", "topology")
    '3.40.50'
    """
    parts, wanted = label.split("."), CATH_LEVELS.index(level) + 1
    if not all(part.isdigit() for part in parts) or not wanted <= len(parts) <= 4 or not 1 <= int(parts[0]) <= 6:
        raise ValueError(f"{label!r} is no CATH code with its {level}, such as 3.40.50.300")
    return ".".join(parts[:wanted])


def labels_in(cell: object) -> list[str]:
    """Those of a cell of a table: a list of Parquet, or text, parted by blanks, commas, ; or |; None has none.

    >>> labels_in("1.1.1.1; 2.7.1.2|3.1"), labels_in(["a", None]), labels_in(None)
    (['1.1.1.1', '2.7.1.2', '3.1'], ['a'], [])
    """
    several = cell if isinstance(cell, list) else [cell]
    return [label for one in several if one is not None for label in _BETWEEN.split(str(one).strip()) if label]


def frequent(labels_B: Iterable[Iterable[str]], least: int) -> list[str]:
    """Labels that at least `least` proteins have, in order.

    >>> frequent([{"a", "b"}, {"a"}], least=2)
    ['a']
    """
    counts = Counter(label for labels in labels_B for label in set(labels))
    return sorted(label for label, count in counts.items() if count >= least)


def label_matrix(labels_B: Sequence[Iterable[str]], names: Sequence[str]) -> np.ndarray:
    """Which of `names` each protein has; bool, shape (B, T).

    >>> label_matrix([{"a", "c"}, {"b"}], ["a", "b"]).astype(int).tolist()
    [[1, 0], [0, 1]]
    """
    place = {name: number for number, name in enumerate(names)}
    found_BT = np.zeros((len(labels_B), len(names)), dtype=bool)
    for b, labels in enumerate(labels_B):
        found_BT[b, [place[label] for label in labels if label in place]] = True
    return found_BT
