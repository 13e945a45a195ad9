from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from tiny import FEATURES, HIDDEN, tiny_networks, tiny_proteins, tiny_stages

from protray.data.secondary.collate import Totals, collate
from protray.data.secondary.dataset import Proteins
from protray.data.secondary.features import Features
from protray.losses.weights import DistilWeights
from protray.seq.alphabet import N_AA
from protray.seq.downsample import Prior
from protray.training.secondary.stages import PAPER, Stage, build, part, plan_stages, rows_of, training_rows
from protray.training.secondary.steps import Classify, Distil, Reconstruct

PROTEINS = tiny_proteins()


def test_order_puts_a_stage_behind_the_one_it_needs() -> None:
    seen = set()
    for stage in tiny_stages().values():
        assert stage.after is None or stage.after in seen
        seen.add(stage.name)


def test_every_stage_builds() -> None:
    stages, built = tiny_stages(), {}
    for name, stage in stages.items():
        step = build(stage, built)
        built[name] = step.state_dict()
        kind = {"classify": Classify, "reconstruct": Reconstruct, "distil": Distil}[stage.kind]
        assert isinstance(step, kind)
        assert stage.predicts == (name != "Bagging enhancer")
    assert set(stages) == {
        "teacher", "protray", "Real", "Real + down-sampling", "Real (shallow only)", "Real + LM", "Bagging enhancer",
        "Bagging", "w/o BERT", "w/o CL", "w/o MSE",
    }  # fmt: skip


def test_frozen_parts_are_those_of_the_stage_before() -> None:
    stages = tiny_stages()
    teacher = build(stages["teacher"], {})
    step = build(stages["protray"], {"teacher": teacher.state_dict()})
    for name, weight in part(teacher.state_dict(), "classifier").items():
        assert (part(step.state_dict(), "teacher")[name] == weight).all()
    assert not any(weight.requires_grad for weight in step.teacher.parameters())  # type: ignore[union-attr]


def test_ablations_differ_in_one_thing() -> None:
    stages = tiny_stages()
    ours = stages["protray"]
    assert (stages["w/o CL"].weights, stages["w/o CL"].networks) == (DistilWeights(gamma=0.0), ours.networks)
    assert (stages["w/o MSE"].weights, stages["w/o MSE"].networks) == (DistilWeights(beta=0.0), ours.networks)
    without = stages["w/o BERT"].networks
    assert (without.enhance.bert, without.enhance.extra, without.classifier.extra) == (False, 0, 0)
    assert (ours.networks.enhance.bert, ours.networks.enhance.extra) == (True, HIDDEN)
    assert ours.networks.classifier.extra == N_AA + HIDDEN


def test_without_hidden_states_x_b_is_all_that_is_read() -> None:
    stages = {stage.name: stage for stage in plan_stages(tiny_networks(), DistilWeights(), "deep", 0, ())}
    assert "Real + LM" not in stages
    networks = stages["protray"].networks
    assert (networks.enhance.bert, networks.enhance.extra, networks.classifier.extra) == (True, 0, 0)
    build(stages["protray"], {"teacher": build(stages["teacher"], {}).state_dict()})


def test_without_a_language_model_nothing_of_one_is_read() -> None:
    networks = replace(tiny_networks(), enhance=replace(tiny_networks().enhance, bert=False))
    stages = plan_stages(networks, DistilWeights(), "all", 0, (), "plain")
    assert [stage.name for stage in stages] == ["teacher", "protray", "Real"]
    assert not any(stage.networks.enhance.bert or stage.networks.classifier.extra for stage in stages)


def test_a_teacher_of_all_proteins_is_the_plain_classifier() -> None:
    usual, one = plan_stages(tiny_networks(), DistilWeights(), "all", 0, ()), tiny_plan(teacher_on="all")
    assert "teacher" not in one and list(one)[0] == "Real" and one["protray"].after == "Real"
    assert one["Real"] == next(stage for stage in usual if stage.name == "Real")
    assert [stage.name for stage in usual] == ["teacher", "protray", *(name for name in one if name != "protray")]
    step = build(one["protray"], {"Real": build(one["Real"], {}).state_dict()})
    assert isinstance(step, Distil)


def test_without_enhance_net_the_student_reads_the_shallow_pssm() -> None:
    """X_e is X_l, to the bit, and only Eq. 1 is left of Eq. 9."""
    one = tiny_plan(enhance_net=False)["protray"]
    assert (
        one == replace(tiny_plan(ablate=("enhance",))["w/o EnhanceNet"], name="protray")
        and not one.networks.enhance.reads_lm
    )
    torch.manual_seed(0)
    step = build(one, {"teacher": build(tiny_plan()["teacher"], {}).state_dict()})
    assert isinstance(step, Distil) and not list(step.enhancer.parameters())
    features = Features(PROTEINS, replace(FEATURES, bert=False, lm_hidden=False), Prior.of(PROTEINS.msa_counts))
    rows = PROTEINS.of_split("train")
    batch = collate([features.example(int(row), "prior") for row in rows], Totals.of(PROTEINS, rows))
    assert torch.equal(step.enhance(batch), batch.low_BLA) and not torch.equal(batch.low_BLA, batch.high_BLA)
    loss, parts = step(batch)
    assert loss == one.weights.alpha * parts["loss_d"] and parts["loss_m"] == parts["loss_t"] == 0
    loss.backward()
    assert all(weight.grad is not None for weight in step.student.parameters())


def tiny_plan(ablate: tuple = (), **settings: object) -> dict[str, Stage]:
    stages = plan_stages(tiny_networks(), DistilWeights(), "all", 0, ablate, **settings)  # type: ignore[arg-type]
    return {stage.name: stage for stage in stages}


def test_proteins_without_labels_are_learnt_by_distillation_alone() -> None:
    """Of the seven training proteins the first deep and the first shallow one lose their labels."""
    train = PROTEINS.of_split("train")
    lost = {int(train[PROTEINS.deep[train]][0]), int(train[~PROTEINS.deep[train]][0])}
    table = PROTEINS.table
    for name in ("ss3", "ss8"):
        values = [None if row in lost else value for row, value in enumerate(table[name].to_pylist())]
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), pa.array(values, pa.string()))
    proteins, stages = Proteins(table), tiny_stages()
    of_ours, of_real = (set(rows_of(stages[name], proteins).tolist()) for name in ("protray", "Real"))
    assert of_real == set(train.tolist()) - lost
    assert of_ours - of_real == {row for row in lost if PROTEINS.deep[row]} and of_real < of_ours
    assert rows_of(stages["protray"], PROTEINS).tolist() == train.tolist()


def test_training_rows() -> None:
    deep, shallow = training_rows(PROTEINS, "deep"), training_rows(PROTEINS, "shallow")
    assert len(deep) == 4 and (PROTEINS.msa_counts[deep] > 60).all()
    assert len(shallow) == 3 and (PROTEINS.msa_counts[shallow] <= 60).all()
    np.testing.assert_array_equal(training_rows(PROTEINS, "all"), np.sort([*deep, *shallow]))
    with pytest.raises(ValueError, match=r"no labelled deep protein \(3 labelled ones in all\)"):
        training_rows(Proteins(PROTEINS.table.take(shallow)), "deep")


def test_paper_settings() -> None:
    assert (PAPER.classifier.hidden, PAPER.classifier.dropout, PAPER.classifier.states) == (400, 0.75, 3)
    assert (PAPER.enhance.hidden, PAPER.enhance.filters, PAPER.enhance.kernels) == (400, 300, (3, 3, 5))
    assert (PAPER.fit.learning_rate, PAPER.fit.decay_every, PAPER.fit.anneal) == (0.01, 50, False)
    assert (PAPER.classifier.embedding, PAPER.enhance.embedding, PAPER.classifier.layers) == (32, 32, 2)
