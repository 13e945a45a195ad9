"""jobs/ssdm.py's pipeline on the bundled sample with a tiny encoder; it learns next to nothing in 10 steps."""

from dataclasses import replace

import pytest
from joint_encoders import NET, save_random_joint
from ssdm_here import sample_chains
from tiny_model import save_tiny_lm
from tracking_store import curve
from train_here import train_here

from protray.cluster.runtime.command import parse
from protray.cluster.train import driver
from protray.cluster.train.command import training_command
from protray.data.location import Location
from protray.evaluation.ssdm import TRAINED, UNTRAINED
from protray.inference import ssdm_results  # noqa: F401  before a test replaces what it imports by name
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import MEDIUM, PAPER, FrameAttentionConfig
from protray.pipelines.structure import ssdm
from protray.pipelines.structure.ssdm import JOB, MEDIUM_FIT, PAPER_FIT, SsdmRun
from protray.training.structure.ssdm_config import ObjectiveConfig, SsdmFitConfig
from protray.training.structure.ssdm_export import load_ssdm

TINY = SsdmRun(
    joint=SsdmConfig(net=FrameAttentionConfig(channels=8, heads=2, pair=4, layers=1, neighbours=6)),
    fit=SsdmFitConfig(epochs=0.34, batch=32, micro_batch=8, crop=16, validate_every=5, validation_chains=32),
)
STEPS = 10


# ---- settings


def test_settings_of_the_models() -> None:
    for name, net, fit in (("medium", MEDIUM, MEDIUM_FIT), ("paper", PAPER, PAPER_FIT)):
        run = SsdmRun.preset(name)
        assert (run.model, run.joint.net, run.fit) == (name, net, fit)
    assert SsdmRun.preset() == SsdmRun()
    assert (PAPER.channels, PAPER.width, PAPER_FIT.batch, PAPER_FIT.crop) == (512, 3072, 96 * 4, 100)
    assert (PAPER_FIT.learning_rate, PAPER_FIT.epochs, PAPER_FIT.warmup, PAPER_FIT.constant) == (2e-4, 50, 0, True)


def test_a_preset_first_then_the_command_line() -> None:
    run = parse(SsdmRun, "", ["--objective", "distance", "siamdiff", "--model", "paper", "--net.layers", "2",
                              "--fusion", "serial", "--lm", "shipped", "--lm-lr-ratio", "0"])  # fmt: skip
    assert run.joint == SsdmConfig(net=replace(PAPER, layers=2), fusion="serial", lm="shipped", lm_lr_ratio=0)
    assert (run.learn, run.fit) == (ObjectiveConfig(objective=("distance", "siamdiff")), PAPER_FIT)


def test_workers_that_cannot_share_a_batch_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="3 workers cannot share 4 micro-batches of 4"):
        SsdmRun(out=Location(tmp_path), workers=3).check()


def test_what_cannot_work_is_refused_before_anything_starts(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        "protray.data.structure.atoms.read_atoms", lambda data, split="train": sample_chains(split, 3, 40, 60)
    )
    labels = tmp_path / "labels.csv"
    labels.write_text("id,fold\na,1.1.1\n")
    with pytest.raises(ValueError, match="has no column 'cath'"):
        replace(TINY, labels=Location(labels)).check()
    with pytest.raises(ValueError, match="none of 3 chains of the train split has the 70 residues that are needed"):
        replace(TINY, learn=ObjectiveConfig(objective=("contrast",))).check()
    labels.write_text("id,cath\nnobody,1.1.1.1\n")
    for data, told in ((Location(tmp_path), tmp_path), (None, "the bundled sample")):
        with pytest.raises(ValueError, match=f"none of 1 labelled ids of {labels} is in {told}: nobody"):
            replace(TINY, data=data, labels=Location(labels)).check()
    joint = replace(TINY.joint, fusion="serial", lm=str(tmp_path))
    with pytest.raises(ValueError, match=r"it has no config\.json"):
        replace(TINY, joint=joint).check()


def test_chains_that_are_too_short_are_told(monkeypatch) -> None:
    """A contrast needs 70 residues."""
    monkeypatch.setattr("protray.data.structure.atoms.read_atoms", lambda data, split: sample_chains(split, 40, 40, 99))
    told: list[tuple] = []
    monkeypatch.setattr(ssdm.log, "warning", lambda *text: told.append(text))
    replace(TINY, learn=ObjectiveConfig(objective=("contrast",))).check()
    assert [(total, split, least) for _, _, total, split, least in told] == [(40, "train", 70), (40, "validation", 70)]
    for _, short, _, split, _ in told:
        assert short == (sample_chains(split, 40, 40, 99).lengths < 70).sum() > 0


def test_what_a_result_depends_on(tmp_path, monkeypatch) -> None:
    """The labels of the report are not what is trained on."""
    monkeypatch.setattr("protray.data.structure.atoms.read_atoms", lambda data, split: sample_chains(split, 3, 40, 60))
    labels = tmp_path / "labels.csv"
    labels.write_text("id,cath\na,1.1.1\n")
    plain, labelled = TINY, replace(TINY, labels=Location(labels))
    assert ssdm.identity(plain) != ssdm.identity(labelled)
    assert "bf16" not in ssdm.identity(plain)["fit"] and "encoder" not in ssdm.identity(plain)  # which came later
    [one], [other] = ssdm.stages(plain, None), ssdm.stages(labelled, None)
    assert one.key == other.key and one.of == TINY.fit.steps(3)
    for change in (
        {"fit": replace(TINY.fit, seed=1)}, {"learn": ObjectiveConfig(tau=0.1)},
        {"joint": replace(TINY.joint, lm_lr_ratio=0.5)}, {"fit": replace(TINY.fit, bf16=True)},
    ):  # fmt: skip
        assert ssdm.stages(replace(TINY, **change), None)[0].key != one.key


def test_an_encoder_to_begin_with(tmp_path, monkeypatch) -> None:
    """Its own shape is taken; a fusion, or another shape that is asked for, is refused."""
    monkeypatch.setattr("protray.data.structure.atoms.read_atoms", lambda data, split: sample_chains(split, 3, 40, 60))
    given = save_random_joint(tmp_path / "model")
    run = replace(TINY, joint=SsdmConfig(), encoder=given)
    joint = ssdm.joint_of(run)
    assert joint.net == NET and ssdm.first_weights(run) is not None
    assert (ssdm.joint_of(TINY), ssdm.first_weights(TINY)) == (TINY.joint, None)
    assert ssdm.stages(run, None)[0].key != ssdm.stages(replace(run, encoder=None), None)[0].key
    assert ssdm.joint_of(replace(run, encoder=Location("shipped"))).net.channels > NET.channels
    with pytest.raises(ValueError, match="brings its own shape; leave --net out"):
        ssdm.joint_of(replace(run, joint=replace(joint, net=replace(NET, layers=3))))
    fused = save_random_joint(tmp_path / "fused", save_tiny_lm(tmp_path / "lm"))
    with pytest.raises(ValueError, match="is no encoder by itself"):
        replace(run, encoder=fused).check()


# ---- a run


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Location:
    """The output folder of a run with one worker."""
    out = Location(tmp_path_factory.mktemp("runs")) / "one"
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch)
        driver.run_training(JOB, replace(TINY, out=out))
    return out


def test_writes_what_it_promises(finished) -> None:
    from protray.training.structure.ssdm import fresh

    (card, net), (_, before) = (load_ssdm(finished / name) for name in ("model", "untrained"))
    assert card.config == TINY.joint and card.side_chains and card.objectives == ("residue", "distance")
    begun, weights = fresh(TINY.joint, TINY.learn, 0).model.state_dict(), net.state_dict()
    assert all((before.state_dict()[name] == weight).all() for name, weight in begun.items())
    assert any((weights[name] != weight).any() for name, weight in begun.items())
    metrics = (finished / "metrics.json").read_json()
    assert [point["step"] for point in metrics["history"]] == [5, 10] and metrics["steps"] == STEPS
    lines = {row["what"]: row for row in metrics["results"]}
    assert {"residue, test", "distance, test"} < lines.keys()
    for name in (TRAINED, UNTRAINED):
        row = lines[f"nearest chain of the same topology, {name}"]
        assert row["chains"] > 400 and 0.02 < row["agreement"] < 0.8
    page = (finished / "report.html").read_bytes().decode()
    assert "The nearest chain has the same topology for" in page and page.count("data:image/") == 1
    assert (finished / "cache").files() == []


def test_every_loss_is_in_mlflow_once_per_point(finished) -> None:
    found = curve(finished.path, "protray-ssdm")
    for name in ("train/loss", "train/residue", "validation/distance", "validation/residue/accuracy"):
        assert [step for step, _ in found[name]] == [5, 10]
    assert "test/same_topology/before_training" in found and "test/residue" in found


def test_again_starts_no_ray_and_other_settings_are_refused(finished, monkeypatch, capsys) -> None:
    """What is shown then comes from metrics.json."""
    monkeypatch.setattr(driver, "start_ray", lambda: pytest.fail("Ray was started"))
    monkeypatch.setattr("protray.cluster.runtime.command.parse", lambda *_: replace(TINY, out=finished))
    stamps = {file: file.stamp() for file in finished.files()}
    assert training_command(JOB, SsdmRun, "") == 0
    shown = capsys.readouterr().out
    assert f"model   {finished}/model" in shown and "the best constant answer" in shown
    assert stamps == {file: file.stamp() for file in finished.files()}
    with pytest.raises(ValueError, match=r"was made differently: fit\.seed was 0, is 1"):
        driver.run_training(JOB, replace(TINY, out=finished, fit=replace(TINY.fit, seed=1)))


@pytest.mark.ray
def test_two_workers_on_ray_give_the_same_curve(finished, ray_local, tmp_path) -> None:
    """What the encoder learnt is measured in the tests above."""
    out = Location(tmp_path) / "two"
    job = replace(JOB, finish=lambda run, inputs, state, context: {})
    driver.run_training(job, replace(TINY, out=out, workers=2, cpus_per_worker=1))
    one, two = curve(finished.path, "protray-ssdm"), curve(out.path, "protray-ssdm")
    for name in ("train/loss", "validation/loss", "validation/residue"):
        assert [step for step, _ in two[name]] == [5, 10]
        assert [value for _, value in two[name]] == pytest.approx([value for _, value in one[name]], rel=1e-4)
