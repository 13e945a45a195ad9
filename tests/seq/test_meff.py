import numpy as np
import pytest

from protray.seq import meff as module
from protray.seq.alphabet import GAP, UNKNOWN, encode
from protray.seq.meff import meff


def msa(*rows: str) -> np.ndarray:
    return np.stack([encode(row) for row in rows])


def test_query_alone_is_one() -> None:
    assert meff(msa("ACDE")) == 1.0
    assert meff(msa("XXXX")) == 1.0  # equals nothing, yet is in its own cluster


def test_by_hand() -> None:
    """Rows 1 and 2 share 7 of 10 residues (m = 2 each), row 3 shares none with either: 1/2 + 1/2 + 1."""
    rows = msa("AAAAAAAAAA", "AAAAAAACCC", "DDDDDDDDDD")
    assert meff(rows, 0.7) == pytest.approx(2.0)
    assert meff(rows, 0.71) == pytest.approx(3.0)


def test_gap_gap_columns_are_ignored_and_gap_residue_columns_are_not() -> None:
    """AC-- and AC-- are equal in 2 of 2 columns; AC-- and ACDE in 2 of 4."""
    assert meff(msa("AC--", "AC--"), 0.9) == pytest.approx(1.0)
    assert meff(msa("AC--", "ACDE"), 0.5) == pytest.approx(1.0)
    assert meff(msa("AC--", "ACDE"), 0.51) == pytest.approx(2.0)


def test_unknown_is_a_residue_that_never_matches() -> None:
    """AX and AX agree in 1 of 2 columns."""
    assert meff(msa("AX", "AX"), 0.5) == pytest.approx(1.0)
    assert meff(msa("AX", "AX"), 0.6) == pytest.approx(2.0)


def brute_force(msa_NL: np.ndarray, identity: float) -> float:
    total = 0.0
    for i, a in enumerate(msa_NL):
        size = 0
        for j, b in enumerate(msa_NL):
            columns = (a != GAP) | (b != GAP)
            equal = ((a == b) & (a < UNKNOWN)).sum()
            size += i == j or equal >= identity * columns.sum() - 1e-4
        total += 1 / size
    return total


def synthetic_family(n_rows: int, length: int, n_ancestors: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ancestors = rng.integers(0, 20, (n_ancestors, length))
    rows = ancestors[rng.integers(0, n_ancestors, n_rows)]
    return np.where(rng.random(rows.shape) < 0.15, rng.integers(0, 22, rows.shape), rows).astype(np.uint8)


@pytest.mark.parametrize("identity", [0.5, 0.62, 0.7, 0.8])
def test_blocks_agree_with_brute_force(monkeypatch, identity) -> None:
    monkeypatch.setattr(module, "BLOCK", 16)  # 70 rows: four full blocks and a ragged one
    msa_NL = synthetic_family(70, 40, 9, seed=1)
    assert meff(msa_NL, identity) == pytest.approx(brute_force(msa_NL, identity))


@pytest.mark.parametrize("dense", [0.0, 1.0])
@pytest.mark.parametrize("gaps", [0.0, 0.5])
@pytest.mark.parametrize("identity", [0.05, 0.33, 0.7, 1.0])
def test_pair_by_pair_and_by_products_are_the_same(monkeypatch, dense, gaps, identity) -> None:
    """`DENSE` = 0: all by products; 1: none, however many pairs are left."""
    msa_NL = synthetic_family(60, 23, 4, seed=4)
    msa_NL[np.random.default_rng(0).random(msa_NL.shape) < gaps] = GAP
    monkeypatch.setattr(module, "DENSE", dense)
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", 23 * 7)
    assert meff(msa_NL, identity) == pytest.approx(brute_force(msa_NL, identity))


def test_groups_rule_out_unrelated_rows_and_no_similar_ones() -> None:
    """Random rows of 200 columns agree in a third of their groups: no pair but each row with itself may reach 0.7."""
    rows = np.random.default_rng(0).integers(0, 20, (100, 200)).astype(np.uint8)
    maybe = module._maybe_similar(rows, rows, 0.7)
    assert maybe[np.diag_indices(100)].all() and maybe.sum() == 100
    assert "".join(sorted("".join(module._GROUPS))) == "".join(sorted("ARNDCQEGHILKMFPSTWYV"))


def test_row_order_does_not_matter() -> None:
    msa_NL = synthetic_family(200, 50, 30, seed=2)
    shuffled = np.random.default_rng(0).permutation(msa_NL)
    assert meff(msa_NL) == pytest.approx(meff(shuffled))


def test_estimate_is_close_and_repeats(monkeypatch) -> None:
    msa_NL = synthetic_family(3000, 40, 200, seed=3)
    exact = meff(msa_NL)
    monkeypatch.setattr(module, "EXACT_ROWS", 2000)
    estimate = meff(msa_NL, seed=5)
    assert estimate == meff(msa_NL, seed=5)
    assert estimate != exact
    assert estimate == pytest.approx(exact, rel=0.15)  # the standard error of this family is about 4 %


@pytest.mark.parametrize("identity", [0, -0.1, 1.1])
def test_identity_out_of_range(identity) -> None:
    with pytest.raises(ValueError, match="identity is a share"):
        meff(msa("ACDE"), identity)
