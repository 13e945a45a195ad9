"""Residues of a model and its native: what a sequence alignment brings together."""

import numpy as np
import pytest

from protray.struct.compare.match import match

NATIVE = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"


def pairs(model: str, native: str) -> list[tuple[int, int]]:
    return list(zip(*(places.tolist() for places in match(model, native)), strict=True))


def test_equal_sequences() -> None:
    assert pairs(NATIVE, NATIVE) == [(i, i) for i in range(33)]


def test_a_native_that_lacks_a_loop_and_its_ends() -> None:
    """Residues 3 to 9 and 15 to 29 are in its coordinates."""
    places = [*range(3, 10), *range(15, 30)]
    assert pairs(NATIVE, "".join(NATIVE[i] for i in places)) == [(i, n) for n, i in enumerate(places)]


def test_a_model_that_lacks_residues() -> None:
    places = [*range(0, 12), *range(20, 33)]
    assert pairs("".join(NATIVE[i] for i in places), NATIVE) == [(n, i) for n, i in enumerate(places)]


def test_a_mutant_and_an_unknown_residue_are_matched() -> None:
    assert pairs(NATIVE[:10] + "W" + NATIVE[11:20] + "X" + NATIVE[21:], NATIVE) == [(i, i) for i in range(33)]


def test_a_tag_has_no_partner() -> None:
    assert pairs("GSHHHHHH" + NATIVE, NATIVE) == [(i + 8, i) for i in range(33)]


@pytest.mark.parametrize("model", ["", "WWWW", NATIVE[::-1]])
def test_another_protein_is_refused(model) -> None:
    with pytest.raises(ValueError, match="not the same protein"):
        match(model, NATIVE)


def test_order_is_kept() -> None:
    rng = np.random.default_rng(0)
    native = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 200))
    kept = np.sort(rng.choice(200, 150, replace=False))
    model_M, native_M = match("".join(native[i] for i in kept), native)
    assert (np.diff(model_M) > 0).all() and (np.diff(native_M) > 0).all()
    assert len(model_M) > 140  # single residues are missing: a few gaps cost more than they bring
