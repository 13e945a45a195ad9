"""What a step computes from a batch, checked against the equations written out once more with torch's own functions."""

from dataclasses import replace

import pytest
import torch
from tiny import FEATURES, HIDDEN, tiny_proteins, tiny_stages
from torch import Tensor
from torch.nn import functional as F

from protray.data.secondary.collate import Batch, Totals, collate
from protray.data.secondary.features import FeatureConfig, Features
from protray.losses.weights import DistilWeights
from protray.models.secondary.ss_classifier import three_states
from protray.seq.alphabet import AMINO_ACIDS, N_AA
from protray.seq.downsample import Prior
from protray.training.secondary.stages import build, part
from protray.training.secondary.steps import Classify, Distil, Reconstruct, extra_features, label_loss

PROTEINS = tiny_proteins()
TRAIN = PROTEINS.of_split("train")
DEEP, SHALLOW = TRAIN[PROTEINS.deep[TRAIN]], TRAIN[~PROTEINS.deep[TRAIN]]
PRIOR = Prior.of(PROTEINS.msa_counts[TRAIN])


def batch_of(rows: list[int], noise: bool = False) -> Batch:
    features = Features(PROTEINS, FEATURES, PRIOR)
    examples = [features.example(int(row), "prior") for row in rows]
    return collate(examples, Totals.of(PROTEINS, rows), [int(row) for row in rows] if noise else None)  # type: ignore


def distil_step(**weights: float) -> Distil:
    torch.manual_seed(0)
    stages = tiny_stages(DistilWeights(**weights))  # type: ignore[arg-type]
    step = build(stages["protray"], {"teacher": build(stages["teacher"], {}).state_dict()})
    assert isinstance(step, Distil)
    return step


def gradient(module: torch.nn.Module) -> float:
    return sum(float(weight.grad.abs().sum()) for weight in module.parameters() if weight.grad is not None)


def test_distil_is_the_equations() -> None:
    """Two deep proteins and a shallow one; independent of protray.losses."""
    step, rows = distil_step(), [*DEEP[:2], SHALLOW[0]]
    batch = batch_of(rows)
    assert batch.deep_B.tolist() == [True, True, False]
    enhanced_BLA = step.enhance(batch)
    student_BLS, real_BL = step.logits(batch), batch.mask_BL

    def teach(pssm_BLA: Tensor) -> Tensor:
        return three_states(step.teacher(batch.codes_BL, pssm_BLA, batch.lengths_B))

    def kl(p_log: Tensor, q_log: Tensor) -> Tensor:
        return F.kl_div(q_log, p_log, log_target=True, reduction="none").sum(-1)

    def mean(values_BL: Tensor, mask_BL: Tensor) -> float:
        return float(values_BL.detach()[mask_BL].sum() / real_BL.sum())

    deep_BL = real_BL & batch.deep_B[:, None]
    high, low, bert = teach(batch.high_BLA), teach(batch.low_BLA), teach(batch.bert_BLA)  # type: ignore[arg-type]
    ce_BL = F.cross_entropy(student_BLS.transpose(1, 2), batch.ss8_BL, reduction="none")
    kl_BL = kl(high.log_softmax(-1), three_states(student_BLS).log_softmax(-1))
    loss_d = mean(0.1 * ce_BL + 0.9 * kl_BL, deep_BL) + mean(ce_BL, real_BL & ~deep_BL)
    loss_m = mean((enhanced_BLA - batch.high_BLA).square().mean(-1), deep_BL)
    f_x, f_n = teach(enhanced_BLA).log_softmax(-1), ((low + bert) / 2).log_softmax(-1)
    hinge_BL = F.relu(kl(high.log_softmax(-1), f_x) - kl(f_n, f_x) + 0.6)
    loss_t = mean(hinge_BL, deep_BL)

    loss, parts = step(batch)
    assert float(parts["loss_d"]) == pytest.approx(loss_d, rel=1e-5)
    assert float(parts["loss_m"]) == pytest.approx(loss_m, rel=1e-5)
    assert float(parts["loss_t"]) == pytest.approx(loss_t, rel=1e-5)
    assert float(parts["active_hinges"]) == pytest.approx(float((hinge_BL[deep_BL] > 0).float().mean()))
    assert loss.item() == pytest.approx(0.16 * loss_d + 0.016 * loss_m + 0.82 * loss_t, rel=1e-5)


def test_triplet_gives_the_student_no_gradient() -> None:
    step = distil_step(alpha=0.0, beta=0.0, gamma=1.0)
    step(batch_of(DEEP[:2]))[0].backward()
    assert gradient(step.student) == 0
    assert gradient(step.enhancer) > 0  # through the frozen teacher


def test_teacher_passes_gradients_to_x_e() -> None:
    step, batch = distil_step(), batch_of(DEEP[:2])
    enhanced_BLA = step.enhance(batch).detach().requires_grad_()
    step.teacher(batch.codes_BL, enhanced_BLA, batch.lengths_B)[batch.mask_BL].square().sum().backward()
    assert enhanced_BLA.grad is not None
    assert (enhanced_BLA.grad[batch.mask_BL].abs().sum(-1) > 0).all()


def test_a_step_leaves_the_teacher_as_it_is_and_moves_the_others() -> None:
    step = distil_step()
    before = {name: weight.clone() for name, weight in step.state_dict().items()}
    optimizer = torch.optim.Adam([weight for weight in step.parameters() if weight.requires_grad], lr=0.1)
    step.train()
    step(batch_of(DEEP[:2], noise=True))[0].backward()
    optimizer.step()
    for name, weight in step.state_dict().items():
        if name.startswith("teacher."):
            assert torch.equal(weight, before[name]), name
    for name in ("enhancer", "student"):
        moved = part(step.state_dict(), name)
        assert sum(torch.equal(moved[key], old) for key, old in part(before, name).items()) == 0
    assert gradient(step.teacher) == 0


def test_teacher_has_no_dropout_while_the_others_train() -> None:
    step, batch = distil_step(), batch_of(DEEP[:2], noise=True)
    step.train()
    assert torch.equal(step._teach(batch, batch.high_BLA), step._teach(replace(batch, noise=None), batch.high_BLA))
    assert not torch.equal(step.enhance(batch), step.enhance(replace(batch, noise=None)))


def test_a_shallow_protein_enters_by_its_labels_alone() -> None:
    step, batch = distil_step(), batch_of(SHALLOW[:2])
    loss, parts = step(batch)
    assert parts["loss_m"] == parts["loss_t"] == parts["active_hinges"] == 0
    ce = F.cross_entropy(step.logits(batch).transpose(1, 2)[..., :], batch.ss8_BL, ignore_index=-100)
    assert loss.item() == pytest.approx(0.16 * ce.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["protray", "teacher", "Real", "Real + LM", "Bagging enhancer", "w/o BERT", "w/o CL"])
def test_loss_of_a_batch_is_the_sum_of_its_shares(name) -> None:
    """Two workers, or threads, see a protein each; their losses add up to the loss of the whole batch."""
    torch.manual_seed(0)
    stages = tiny_stages()
    step = build(stages[name], {"teacher": build(stages["teacher"], {}).state_dict()})
    rows = [DEEP[0], SHALLOW[0]] if stages[name].train_on == "all" else list(DEEP[:2])
    whole, parts = step(batch_of(rows))
    shares = [step(replace(batch_of([row]), totals=Totals.of(PROTEINS, rows))) for row in rows]  # type: ignore
    assert whole.item() == pytest.approx(sum(loss.item() for loss, _ in shares), rel=1e-5)
    for part_name, value in parts.items():
        assert float(value) == pytest.approx(float(sum(own[part_name] for _, own in shares)), rel=1e-4)


@pytest.mark.parametrize("states", [3, 8])
def test_alanine_is_scored(states) -> None:
    """A chain of alanines, whose code is 0: every residue is real and every label changes the loss."""
    length = 5
    batch = replace(
        batch_of(DEEP[:1]),
        lengths_B=torch.tensor([length]),
        codes_BL=torch.full((1, length), AMINO_ACIDS.index("A")),
        ss3_BL=torch.tensor([[0, 1, 2, 0, 1]]),
        ss8_BL=torch.tensor([[0, 3, 7, 1, 4]]),
    )
    assert batch.mask_BL.all()
    logits_BLS = torch.randn(1, length, states, generator=torch.Generator().manual_seed(0))
    loss_BL = label_loss(logits_BLS, batch)
    assert (loss_BL > 0).all()
    swapped_BL = label_loss(logits_BLS, replace(batch, ss3_BL=2 - batch.ss3_BL, ss8_BL=(batch.ss8_BL + 3) % 8))
    assert (loss_BL != swapped_BL)[0, [0, 2, 3]].all()  # 2 - 1 = 1 keeps a strand a strand
    assert states == 3 or (loss_BL != swapped_BL).all()


def test_label_loss_uses_eight_states_where_they_are_known_and_three_elsewhere() -> None:
    """p(H G I) = .2 .1 .1, so 'helix' is .4; p(H) is .2; a residue without a label costs 0."""
    logits_BLS = torch.tensor([0.2, 0.1, 0.1, 0.25, 0.05, 0.1, 0.1, 0.1]).log().expand(1, 3, 8)
    labels = {"ss3_BL": torch.tensor([[0, 0, -100]]), "ss8_BL": torch.tensor([[0, -100, -100]])}
    loss_BL = label_loss(logits_BLS, replace(batch_of(DEEP[:1]), **labels))
    assert loss_BL.exp().tolist()[0] == pytest.approx([1 / 0.2, 1 / 0.4, 1.0], rel=1e-5)


def test_reconstruct_and_classify_by_hand() -> None:
    stages, batch = tiny_stages(), batch_of(DEEP[:2])
    reconstruct, classify = build(stages["Bagging enhancer"], {}), build(stages["teacher"], {})
    assert isinstance(reconstruct, Reconstruct) and isinstance(classify, Classify)
    enhanced_BLA = reconstruct.enhancer(batch.codes_BL, batch.low_BLA, None, batch.lengths_B)
    loss_m = F.mse_loss(enhanced_BLA[batch.mask_BL], batch.high_BLA[batch.mask_BL])
    assert reconstruct(batch)[0].item() == pytest.approx(loss_m.item(), rel=1e-5)
    loss_ce = F.cross_entropy(classify.logits(batch)[batch.mask_BL], batch.ss8_BL[batch.mask_BL])
    assert classify(batch)[0].item() == pytest.approx(loss_ce.item(), rel=1e-5)


def test_bagging_enhancer_is_frozen_in_its_classifier() -> None:
    stages = tiny_stages()
    earlier = {"Bagging enhancer": build(stages["Bagging enhancer"], {}).state_dict()}
    step = build(stages["Bagging"], earlier)
    assert isinstance(step, Classify) and step.enhancer is not None
    step(batch_of(DEEP[:2]))[0].backward()
    assert gradient(step.enhancer) == 0
    assert gradient(step.classifier) > 0


def test_extra_features() -> None:
    batch = batch_of(DEEP[:2])
    found_BLC = extra_features(batch, N_AA + HIDDEN)
    assert found_BLC is not None and batch.bert_BLA is not None and batch.hidden_BLC is not None
    assert torch.equal(found_BLC, torch.cat([batch.bert_BLA, batch.hidden_BLC], dim=-1))
    assert extra_features(batch, 0) is None
    with pytest.raises(ValueError, match="reads 7 channels of a language model, the batch has 23"):
        extra_features(batch, 7)
    bare = Features(PROTEINS, FeatureConfig(bert=False, lm_hidden=False)).example(int(DEEP[0]))
    with pytest.raises(ValueError, match="reads 7 channels of a language model, the batch has 0"):
        extra_features(collate([bare], Totals()), 7)
