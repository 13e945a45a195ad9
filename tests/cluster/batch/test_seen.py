"""Ids that came up before, against a set."""

import numpy as np

from protray.cluster.batch.seen import SeenIds


def test_the_first_of_equal_ids_is_new() -> None:
    seen = SeenIds()
    assert seen.add(["a", "b", "a"]).tolist() == [True, True, False]
    assert seen.add(["c", "b", "c"]).tolist() == [True, False, False]
    assert seen.add([]).tolist() == []


def test_it_says_what_a_set_says_in_a_tenth_of_the_memory() -> None:
    rng, seen, known = np.random.default_rng(0), SeenIds(), set()
    for _ in range(50):
        ids = [f"p{n}" for n in rng.integers(0, 60_000, 1_000)]
        new = []
        for id in ids:
            new.append(id not in known)
            known.add(id)
        assert seen.add(ids).tolist() == new
    assert sum(run.nbytes for run in seen.runs) == 8 * len(known)
    assert len(seen.runs) <= 1 + np.log2(len(known))
