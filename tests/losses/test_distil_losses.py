"""Equations 1 to 9 of PSSM-Distil on two or three states, by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from protray.losses import distil
from protray.losses.weights import DistilWeights

PAPER = DistilWeights()


def log(*probabilities: float) -> torch.Tensor:
    """Log-probabilities of one residue of one protein, (1, 1, S)."""
    return torch.tensor([[probabilities]], dtype=torch.float64).log()


def test_weights_are_the_papers() -> None:
    assert (PAPER.alpha, PAPER.beta, PAPER.gamma, PAPER.kd_sigma, PAPER.eta) == (0.16, 0.016, 0.82, 0.1, 0.6)
    assert (PAPER.student_first, PAPER.l2) == (False, False)


@pytest.mark.parametrize("field", ["alpha", "beta", "gamma", "eta", "kd_sigma"])
def test_negative_weights_are_refused(field) -> None:
    with pytest.raises(ValueError, match=rf"{field} is a .* got -0.1"):
        DistilWeights(**{field: -0.1})


def test_share_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kd_sigma is a share and must lie in \[0, 1\], got 1.5"):
        DistilWeights(kd_sigma=1.5)


def test_eq_1() -> None:
    """0.1 x 2 + 0.9 x 1 = 1.1."""
    assert distil.distillation(torch.tensor(2.0), torch.tensor(1.0), PAPER).item() == pytest.approx(1.1)


def test_cross_entropy() -> None:
    """-ln 0.9 = 0.105, -ln 0.05 = 2.996; a residue without a label costs nothing."""
    log_BLS = log(0.9, 0.05, 0.05).expand(1, 3, 3)
    found_BL = distil.cross_entropy(log_BLS, torch.tensor([[0, 2, distil.IGNORED]]))
    assert found_BL.tolist()[0] == pytest.approx([0.105361, 2.995732, 0.0], abs=1e-6)


TEACHER, STUDENT = log(0.9, 0.05, 0.05), log(0.6, 0.25, 0.15)


def test_eq_2_teacher_first() -> None:
    """0.9 ln(0.9/0.6) + 0.05 ln(0.05/0.25) + 0.05 ln(0.05/0.15) = 0.3649 - 0.0805 - 0.0549 = 0.2295."""
    assert distil.kl_marginal(TEACHER, STUDENT, PAPER).item() == pytest.approx(0.229516, abs=1e-6)


def test_eq_2_student_first() -> None:
    """0.6 ln(0.6/0.9) + 0.25 ln(0.25/0.05) + 0.15 ln(0.15/0.05) = -0.2433 + 0.4024 + 0.1648 = 0.3239."""
    found = distil.kl_marginal(TEACHER, STUDENT, DistilWeights(student_first=True))
    assert found.item() == pytest.approx(0.323872, abs=1e-6)


def test_eq_2_is_summed_over_classes_and_averaged_over_residues() -> None:
    """Neither divided by the 3 classes (0.0765) nor summed over the residues of a protein (4 x 0.2295)."""
    kl_BL = distil.kl_marginal(TEACHER.expand(2, 4, 3), STUDENT.expand(2, 4, 3), PAPER)
    assert kl_BL.shape == (2, 4)
    found = distil.mean(kl_BL, torch.ones(2, 4, dtype=torch.bool))
    assert found.item() == pytest.approx(0.229516, abs=1e-6)
    torch_s = F.kl_div(STUDENT, TEACHER, log_target=True, reduction="none").sum()
    assert found.item() == pytest.approx(torch_s.item())


def test_eq_2_of_equal_distributions_is_zero() -> None:
    assert distil.kl_marginal(TEACHER, TEACHER, PAPER).item() == pytest.approx(0, abs=1e-12)


def test_eq_6_averages_logits_not_probabilities() -> None:
    """(.90 .09 .01) and (.01 .36 .63): roots of the products .0949 .1800 .0794 over their sum .3542 are
    .268 .508 .224; the mean of the probabilities, .455 .225 .320, would even have another winner."""
    low, bert = log(0.90, 0.09, 0.01), log(0.01, 0.36, 0.63)
    found = distil.negative(low + 3.0, bert - 1.0).exp()  # a constant added to logits changes nothing
    assert found.flatten().tolist() == pytest.approx([0.26781, 0.50813, 0.22406], abs=1e-5)
    assert found.argmax().item() == 1
    assert ((low.exp() + bert.exp()) / 2).argmax().item() == 0


def test_eq_7_by_hand() -> None:
    """F_X (.5 .5), F_P (.9 .1), F_N (.6 .4): KL(P||X) = .9 ln 1.8 + .1 ln .2 = .36806,
    KL(N||X) = .6 ln 1.2 + .4 ln .8 = .02014, .36806 - .02014 + .6 = .94793."""
    found = distil.triplet(log(0.5, 0.5), log(0.9, 0.1), log(0.6, 0.4), PAPER)
    assert found.item() == pytest.approx(0.947928, abs=1e-5)


def test_eq_7_student_first() -> None:
    """KL(X||P) = .5 ln(.5/.9) + .5 ln(.5/.1) = .51083, KL(X||N) = .5 ln(.5/.6) + .5 ln(.5/.4) = .02041."""
    weights = DistilWeights(student_first=True)
    found = distil.triplet(log(0.5, 0.5), log(0.9, 0.1), log(0.6, 0.4), weights)
    assert found.item() == pytest.approx(0.51083 - 0.02041 + 0.6, abs=1e-5)


def test_eq_7_hinge_is_per_residue() -> None:
    """Residue 1 reached its target: 0 - .8 ln 9 + .6 = -1.158 counts as 0.  Residue 2: 1.758 - 0 + .6 = 2.358."""
    near, far = log(0.9, 0.1), log(0.1, 0.9)
    enhanced = torch.cat([near, far], dim=1)
    hinge_BL = distil.triplet(enhanced, torch.cat([near, near], dim=1), torch.cat([far, far], dim=1), PAPER)
    assert hinge_BL.tolist()[0] == pytest.approx([0.0, 0.8 * math.log(9) + 0.6])
    assert distil.mean(hinge_BL, torch.tensor([[True, True]])).item() == pytest.approx(1.178890, abs=1e-5)


def test_eq_8_by_hand() -> None:
    """One entry is off by 2, one by 1: (4 + 1) / 20 = 0.25 as a mean square, sqrt(5) = 2.236 as a norm."""
    high_BLA = torch.zeros(1, 1, 20)
    enhanced_BLA = high_BLA.clone()
    enhanced_BLA[0, 0, 3], enhanced_BLA[0, 0, 7] = 2.0, -1.0
    assert distil.reconstruction(enhanced_BLA, high_BLA, PAPER).item() == pytest.approx(0.25)
    assert distil.reconstruction(enhanced_BLA, high_BLA, DistilWeights(l2=True)).item() == pytest.approx(math.sqrt(5))


@pytest.mark.parametrize("l2", [False, True])
def test_eq_8_at_its_minimum_has_a_finite_gradient(l2) -> None:
    enhanced_BLA = torch.zeros(1, 1, 20, requires_grad=True)
    distil.reconstruction(enhanced_BLA, torch.zeros(1, 1, 20), DistilWeights(l2=l2)).sum().backward()
    assert enhanced_BLA.grad is not None
    assert enhanced_BLA.grad.tolist() == torch.zeros(1, 1, 20).tolist()


def test_eq_9() -> None:
    """0.16 x 1 + 0.016 x 2 + 0.82 x 3 = 2.652."""
    found = distil.total(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0), PAPER)
    assert found.item() == pytest.approx(2.652)


def test_mean_leaves_padding_out() -> None:
    values_BL = torch.tensor([[1.0, 3.0, 100.0], [5.0, float("nan"), float("inf")]])
    mask_BL = torch.tensor([[True, True, False], [True, False, False]])
    assert distil.mean(values_BL, mask_BL).item() == 3.0
    assert distil.mean(values_BL, mask_BL, count=6).item() == 1.5  # half of a batch of six residues
    assert distil.mean(values_BL, torch.zeros_like(mask_BL)).item() == 0.0
