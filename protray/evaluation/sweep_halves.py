"""The two halves of the validation split: one chooses the points of a sweep, the other confirms the choice.

The best of many points is also the luckiest one.  Proteins that chose it would show its luck again, so other proteins
must confirm it: ones that are not related to the first.
"""

from collections.abc import Mapping
from typing import Literal

from protray.seq.keyed import key

Half = Literal["choosing", "confirming"]
HALVES: tuple[Half, Half] = ("choosing", "confirming")


def ids_of(half: Half, clusters: Mapping[str, str]) -> list[str]:
    """The proteins of one half, sorted.

    Every second cluster chooses, in the order of a hash of their names: each sweep on the same validation proteins has
    the same halves, whatever its seed, and no cluster is in both.

    Parameters
    ----------
    clusters : mapping
        Id of each validation protein -> its cluster; a protein whose cluster is "" is its own.

    Raises
    ------
    ValueError
        With fewer than two clusters.

    Examples
    --------
    >>> clusters = {"1abcA": "c1", "2xyzA": "c2", "2xyzB": "c2", "4hhbA": "c3"}
    >>> ids_of("choosing", clusters), ids_of("confirming", clusters)
    (['1abcA', '2xyzA', '2xyzB'], ['4hhbA'])
    """
    named = {name: cluster or name for name, cluster in clusters.items()}
    order = sorted(set(named.values()), key=lambda cluster: (key("half", cluster), cluster))
    if len(order) < 2:
        raise ValueError(
            f"the {len(clusters)} validation proteins are in {len(order)} clusters of related ones; a sweep needs at "
            "least two, one to choose the best point and another to confirm it"
        )
    mine = set(order[HALVES.index(half) :: 2])
    return sorted(name for name, cluster in named.items() if cluster in mine)
