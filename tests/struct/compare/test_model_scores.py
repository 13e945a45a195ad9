"""Scores of models by hand and against biotite; against CASP's official ones where ../shared/data is there."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from biotite import structure

from protray.struct.compare.model_scores import score_model

CASP = Path(__file__).parents[4] / "shared" / "data" / "quality"


def line(places: list[float]) -> np.ndarray:
    """Residues on a line, in Å."""
    return np.array([[place, 0.0, 0.0] for place in places])


def test_lddt_of_residues_by_hand() -> None:
    """On a line at 0, 4, 8 and 30 Å; the model lacks the third and has the first 1.5 Å too far left.

    Pairs of the native within 15 Å: 1-2, 1-3, 2-3.  Of 1-2 two tolerances of four are met, of the others none.
    Residue 1: 2 / 8, residue 2: 2 / 8, residue 4: no pair.  In all, each pair counted for both of its ends: 4 / 24.
    """
    scores = score_model("MKL", line([-1.5, 4, 30]), "MKVL", line([0, 4, 8, 30]))
    assert scores.lddt_L.tolist() == pytest.approx([0.25, 0.25, np.nan], nan_ok=True)
    assert scores.lddt == pytest.approx(4 / 24)
    assert scores.missing == 1


def test_a_residue_without_partner_has_no_label() -> None:
    """The native lacks the second residue of the model; nothing else changes."""
    rng = np.random.default_rng(0)
    ca_L3 = 4 * rng.standard_normal((9, 3))
    with_tag = score_model("MWKVLEAGH", ca_L3, "MKVLEAGH", np.delete(ca_L3, 1, axis=0))
    assert np.isnan(with_tag.lddt_L).tolist() == [False, True] + [False] * 7
    assert (with_tag.lddt, with_tag.gdt_ts, with_tag.tm, with_tag.missing) == pytest.approx((1, 1, 1, 0))


@pytest.mark.parametrize("noise", [0.3, 1.5, 4.0])
def test_lddt_agrees_with_biotite(noise) -> None:
    rng = np.random.default_rng(1)
    native_N3 = np.cumsum(rng.standard_normal((50, 3)) * 2, axis=0)
    model_L3 = native_N3 + rng.normal(0, noise, native_N3.shape)
    array = structure.AtomArray(50)
    array.coord, array.res_id = native_N3.astype(np.float32), np.arange(50)
    array.atom_name, array.element = np.full(50, "CA"), np.full(50, "C")
    scores = score_model("ACDEFGHIKL" * 5, model_L3, "ACDEFGHIKL" * 5, native_N3)
    theirs = structure.lddt(array, model_L3.astype(np.float32), aggregation="residue", exclude_same_residue=True)
    np.testing.assert_allclose(scores.lddt_L, theirs, atol=0.02)  # a pair on the edge of a tolerance
    assert scores.lddt == pytest.approx(
        structure.lddt(array, model_L3.astype(np.float32), exclude_same_residue=True), abs=1e-3
    )


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="the model has 2 residues and 3 C-alpha atoms"):
        score_model("MK", line([0, 1, 2]), "MKV", line([0, 1, 2]))
    with pytest.raises(ValueError, match="only 2 residues match"):
        score_model("MK", line([0, 4]), "MKV", line([0, 4, 8]))


def decode_ca(row: dict) -> np.ndarray:
    """C-alpha atoms of a row of packed coordinates; atom 1 of 37."""
    mask_L = np.array(row["atom_mask"], dtype=np.uint64)
    present = ((mask_L[:, None] >> np.arange(37, dtype=np.uint64)) & np.uint64(1)).astype(bool)
    atoms = np.full((len(mask_L), 37, 3), np.nan)
    atoms[present] = np.stack([row["x"], row["y"], row["z"]], axis=1) / 100 + np.array(row["origin"])
    return atoms[:, 1]


@pytest.mark.skipif(not CASP.is_dir(), reason="the official scores are not part of the package (../shared/data)")
def test_against_official_casp_scores() -> None:
    """Server models of T0967, the one target of CASP13 with official scores whose native is at hand; every third.

    CASP's lDDT is over all atoms; ours over C-alpha, which is higher, so that alone is compared by its order.
    """
    here = [("target", "=", "T0967")]
    native = pq.read_table(CASP / "decoy_natives.parquet", filters=here).to_pylist()[0]
    rows = [row for row in pq.read_table(CASP / "decoys.parquet", filters=here).to_pylist() if row["official"]][::3]
    native_N3 = decode_ca(native)
    found = [score_model(row["sequence"], decode_ca(row), native["sequence"], native_N3) for row in rows]
    assert len(rows) > 30
    for name in ("gdt_ts", "gdt_ha", "tm"):
        ours, theirs = np.array([getattr(one, name) for one in found]), np.array([row[name] for row in rows])
        print(name, "n", len(rows), "mean absolute difference", np.abs(ours - theirs).mean(), "r", _r(ours, theirs))
        assert np.abs(ours - theirs).mean() < 0.008
        assert _r(ours, theirs) > 0.998
    ours, theirs = np.array([one.lddt for one in found]), np.array([row["lddt"] for row in rows])
    print("lddt", np.abs(ours - theirs).mean(), _r(ours, theirs))
    assert _r(ours, theirs) > 0.97


def _r(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(x, y)[0, 1])
