"""Tables of quality assessment: which decoys count, gains by hand, and what is printed."""

from dataclasses import replace

import numpy as np
import pytest
from decoys_here import decoys

from protray.evaluation.tasks.quality.scores import global_row
from protray.evaluation.tasks.quality.tables import gain_rows, kind_rows, markdown, quality_rows

pytestmark = pytest.mark.usefixtures("few_clusters")


def predicted(some, off: float = 0.0, sign: float = 1.0):  # noqa: ANN001, ANN201
    """The true scores, plus a number, or with their order reversed; of CAD, which is not known, one half."""
    return [
        (sign * np.nan_to_num(one.local_LS, nan=0.5) + off, sign * np.nan_to_num(one.global_S) + off) for one in some
    ]


def test_perfect_and_reversed() -> None:
    some = decoys(4, 6)
    rows = quality_rows(some, {"perfect": predicted(some), "reversed": predicted(some, 1, -1)})
    perfect, reverse = rows
    assert [perfect[name] for name in ("rmse", "r", "r_target", "spearman_target", "lddt_rho")] == pytest.approx(
        [0, 1, 1, 1, 1]
    )
    assert [reverse[name] for name in ("r", "r_target", "spearman")] == pytest.approx([-1, -1, -1])
    assert perfect["frl5"] == 0 < perfect["z"] and (perfect["decoys"], perfect["targets"]) == (24, 4)
    assert not any("cad" in name for name in perfect)


def test_decoys_without_a_true_score_are_left_out() -> None:
    some = list(decoys(3, 4))
    guess = predicted(some, 0.1)
    lost = replace(some[0], global_S=np.full(5, np.nan, np.float32), local_LS=np.full_like(some[0].local_LS, np.nan))
    rows = quality_rows([*some, lost], {"guess": [*guess, guess[0]]})
    assert rows[0]["decoys"] == 12
    true_N, found_N = (np.array([score[1] for score in scores]) for scores in
                       ([one.global_S for one in some], [whole for _, whole in guess]))  # fmt: skip
    assert rows[0]["rmse"] == pytest.approx(global_row(found_N, true_N, [one.target for one in some])["rmse"])
    with pytest.raises(ValueError, match="GDT_TS of none of 1 decoys is known"):
        quality_rows([lost], {"guess": guess[:1]})


def test_each_kind_is_scored_alone() -> None:
    """A prediction that is off for one kind only."""
    some = decoys(3, 6)
    off = [(local, whole + 0.25 * (one.kind == "derived: shift")) for one, (local, whole) in
           zip(some, predicted(some), strict=True)]  # fmt: skip
    found = {row["kind"]: row for row in kind_rows(some, {"off": off})}
    assert {kind: row["decoys"] for kind, row in found.items()} == dict.fromkeys(found, 6) and len(found) == 3
    assert found["derived: shift"]["rmse"] == pytest.approx(0.25)
    assert found["derived: noise"]["rmse"] == pytest.approx(0, abs=1e-6)


def test_gains_are_paired_and_above_0_where_better() -> None:
    """Perfect order against the reverse: correlation + 2, and no first-ranked loss where the reverse has one."""
    some = decoys(4, 9)
    rows = gain_rows(some, {"reversed": predicted(some, 1, -1), "perfect": predicted(some)}, "reversed")
    found = {row["column"]: row for row in rows}
    assert {row["method"] for row in rows} == {"perfect"}
    assert found["r_target"]["gain"] == pytest.approx(2) and found["r_target"]["gain_ci95"] == pytest.approx([2, 2])
    assert found["frl5"]["gain"] > 0 and found["z"]["gain"] > 0 and found["z"]["targets"] == 4


def test_markdown() -> None:
    some = decoys(4, 6)
    methods = {
        "constant": [(0 * local + 0.5, 0 * whole + 0.5) for local, whole in predicted(some)],
        "a|b": predicted(some),
    }
    kinds = kind_rows(some, methods)
    text = markdown(quality_rows(some, methods), kinds, gain_rows(some, methods, "constant"))
    assert "| RMSE of GDT_TS by kind | derived: noise | derived: shift | derived: torsion |" in text
    assert "by kind" not in markdown(quality_rows(some, methods), kinds[:2], [])  # one kind
    lines = text.splitlines()
    assert lines[0].startswith("| GDT_TS, 24 decoys of 4 targets | RMSE | R | R_target | z | FRL_5 |")
    assert "| –" in lines[2] and lines[3].startswith("| a\\|b | 0.000 [0.00, 0.00] | 1.000")
    assert any(line.startswith("| lddt of ") for line in lines) and any("gain over constant" in line for line in lines)
