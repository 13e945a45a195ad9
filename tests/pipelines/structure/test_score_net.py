"""jobs/score_net.py's pipeline on the bundled sample with a tiny network; it learns next to nothing in 10 steps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tracking_store import curve
from train_here import train_here

from protray.cluster.runtime.command import parse
from protray.cluster.train import driver
from protray.cluster.train.command import training_command
from protray.data.location import Location
from protray.data.structure.structures import Structures
from protray.evaluation.denoising import DenoisingConfig
from protray.models.score.score_config import ScoreNetConfig
from protray.pipelines.structure import score_net
from protray.pipelines.structure.score_net import JOB, PAPER_FIT, PAPER_NET, ScoreNetRun
from protray.training.errors import NonFiniteLossError
from protray.training.structure.score_steps import ScoreFitConfig
from protray.training.world import World

TINY = ScoreNetRun(
    net=ScoreNetConfig(blocks=1, channels=16, bottleneck=16, positional=4, distances=4),
    fit=ScoreFitConfig(epochs=1, batch=64, micro_batch=16, crop=8, validate_every=5, validation_levels=1, bf16=False),
    denoising=DenoisingConfig(chains=3, longest=60, every=16, sampled=2, stop=2.0, shown=1),
)


# ---- settings


def test_paper_settings() -> None:
    run = ScoreNetRun.preset("paper")
    assert (run.net, run.fit) == (PAPER_NET, PAPER_FIT)
    assert ScoreNetRun.preset("small") == ScoreNetRun()
    assert (PAPER_NET.blocks, PAPER_NET.channels, PAPER_NET.positional) == (32, 64, 24)
    assert (PAPER_FIT.batch, PAPER_FIT.crop, PAPER_FIT.learning_rate, PAPER_FIT.epochs) == (32, 32, 1e-4, 50)


def test_a_preset_first_then_the_command_line() -> None:
    run = parse(ScoreNetRun, "", ["--fit.epochs", "2", "--model", "paper", "--net.blocks", "4"])
    assert (run.fit, run.net) == (replace(PAPER_FIT, epochs=2), replace(PAPER_NET, blocks=4))


def test_workers_that_cannot_share_a_batch_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="3 workers cannot share 4 micro-batches of 8"):
        ScoreNetRun(out=Location(tmp_path), workers=3).check()


@pytest.mark.parametrize(("splits", "used"), [(("test", "validation"), "test"), (("validation",), "validation")])
def test_held_out_chains_come_with_the_name_of_their_split(splits, used, monkeypatch) -> None:
    def read(data: Location | None, split: str) -> str:
        if split not in splits:
            raise ValueError(f"no chain of the split {split}")
        return f"chains of {split}"

    monkeypatch.setattr("protray.data.structure.structures.read_structures", read)
    assert score_net.held_out(None) == (used, f"chains of {used}")


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
    from protray.training.structure.score_export import load_score_net

    assert load_score_net((finished / "model").path).config == TINY.net
    metrics = (finished / "metrics.json").read_json()
    assert [point["step"] for point in metrics["history"]] == [5, 10]
    assert 0 < metrics["history"][-1]["validation/loss_over_zero"] < 1.05
    assert metrics["chains"] == {"training chains": 640, "test chains": 240}
    assert {row["method"] for row in metrics["denoising"]} >= {"noisy", "score network"}
    assert "Distance maps" in (finished / "report.html").read_bytes().decode()
    assert (finished / "cache").files() == []


def test_every_noise_level_is_in_mlflow_once_per_point(finished) -> None:
    found = curve(finished.path, "protray-score-net")
    for name in ("train/loss", "validation/loss", "validation/level_01/explained", "validation/level_32/loss"):
        assert [step for step, _ in found[name]] == [5, 10]
    assert any(name.startswith("denoising/") for name in found)


def test_again_starts_no_ray_and_other_settings_are_refused(finished, monkeypatch, capsys) -> None:
    """What is shown then comes from metrics.json."""
    monkeypatch.setattr(driver, "start_ray", lambda: pytest.fail("Ray was started"))
    monkeypatch.setattr("protray.cluster.runtime.command.parse", lambda *_: replace(TINY, out=finished))
    stamps = {file: file.stamp() for file in finished.files()}
    assert training_command(JOB, ScoreNetRun, "") == 0
    assert f"model   {finished}/model" in capsys.readouterr().out
    assert stamps == {file: file.stamp() for file in finished.files()}
    with pytest.raises(ValueError, match=r"was made differently: fit\.seed was 0, is 1"):
        driver.run_training(JOB, replace(TINY, out=finished, fit=replace(TINY.fit, seed=1)))


def dies_once(marker: Path) -> Callable:
    """The training, whose first worker dies once between two checkpoints."""

    def loop(settings, report, resume, world):  # noqa: ANN001, ANN202
        def report_or_die(metrics, state):  # noqa: ANN001, ANN202
            report(metrics, state)
            if metrics["step"] == 7 and world.rank == 0 and not marker.exists():
                marker.touch()
                raise RuntimeError("killed by the test")

        JOB.loop(settings, report_or_die, resume, world)

    return loop


@pytest.mark.ray
def test_two_workers_and_a_crash_give_the_same_curve(finished, ray_local, tmp_path) -> None:
    """Ray Train starts both again from the checkpoint of step 5."""
    died = tmp_path / "died"
    out = Location(tmp_path) / "two"
    driver.run_training(replace(JOB, loop=dies_once(died)), replace(TINY, out=out, workers=2, cpus_per_worker=1))
    assert died.exists()
    one, two = curve(finished.path, "protray-score-net"), curve(out.path, "protray-score-net")
    for name in ("train/loss", "validation/loss", "validation/explained"):
        assert [step for step, _ in two[name]] == [5, 10]
        assert [value for _, value in two[name]] == pytest.approx([value for _, value in one[name]], rel=1e-4)


def test_a_chain_with_broken_coordinates_is_named(monkeypatch) -> None:
    from protray.data.structure.structures import read_structures

    def read_broken(path: Location | None, split: str) -> Structures:
        chains = read_structures(path, split)
        ca_R3 = chains.ca_R3.copy()
        ca_R3[chains.starts[7] : chains.starts[8]] = np.nan
        return replace(chains, ca_R3=ca_R3)

    monkeypatch.setattr("protray.data.structure.structures.read_structures", read_broken)
    name = read_structures(None, "train").ids[7]
    with pytest.raises(NonFiniteLossError, match=rf"after step \d+ of 10: .*{name}.*; the last finite loss was|{name}"):
        JOB.loop(score_net.settings(TINY, None), lambda metrics, state: None, None, World())


# ---- its plan


@pytest.mark.ray
def test_a_plan_times_the_loop_and_writes_nothing(ray_local, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("protray.cluster.health.estimate.TRIAL_S", 0.2)
    monkeypatch.setattr("protray.cluster.runtime.command.parse", lambda *_: replace(TINY, out=out, plan=True))
    out = Location(tmp_path) / "out"
    assert training_command(JOB, ScoreNetRun, "") == 0
    shown = capsys.readouterr().out
    [line] = [line for line in shown.splitlines() if line.startswith("score net")]
    assert "10 steps of 64 crops" in line and "1 x 4 CPU" in line
    assert "in all     about 0.0" in shown and "nothing was written there" in shown
    assert list(tmp_path.iterdir()) == []
