"""jobs/score_net.py's pipeline on the bundled sample with a tiny network; it learns next to nothing in 10 steps."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from protray.pipelines.structure.score_net_run import PAPER_FIT, PAPER_NET, ScoreRun, preset
from tracking_store import curve

from protray.evaluation.denoising import DenoisingConfig
from protray.models.score_config import ScoreNetConfig
from protray.training.structure.score_steps import ScoreFitConfig

TINY = ScoreRun(
    net=ScoreNetConfig(blocks=1, channels=16, bottleneck=16, positional=4, distances=4),
    fit=ScoreFitConfig(epochs=1, batch=64, micro_batch=16, crop=8, validate_every=5, validation_levels=1, bf16=False),
    denoising=DenoisingConfig(chains=3, longest=60, every=16, sampled=2, stop=2.0, shown=1),
)


def test_paper_settings() -> None:
    run = preset("paper")
    assert (run.net, run.fit) == (PAPER_NET, PAPER_FIT)
    assert preset("small") == ScoreRun()
    assert (PAPER_NET.blocks, PAPER_NET.channels, PAPER_NET.positional) == (32, 64, 24)
    assert (PAPER_FIT.batch, PAPER_FIT.crop, PAPER_FIT.learning_rate, PAPER_FIT.epochs) == (32, 32, 1e-4, 50)


def test_workers_that_cannot_share_a_batch_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="3 workers cannot share 4 micro-batches of 8"):
        replace(ScoreRun(out=tmp_path), workers=3).check()


@pytest.fixture(scope="module")
def finished(ray_local, tmp_path_factory) -> Path:
    from protray.pipelines.structure.score_net import score_net

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("runs")
        patch.chdir(folder)  # a relative --out: workers have another working directory
        score_net(replace(TINY, out=Path("one")))
    return folder / "one"


@pytest.mark.parametrize(("splits", "used"), [(("test", "validation"), "test"), (("validation",), "validation")])
def test_held_out_chains_come_with_the_name_of_their_split(splits, used, monkeypatch) -> None:
    def read(data: Path | None, split: str) -> str:
        if split not in splits:
            raise ValueError(f"no chain of the split {split}")
        return f"chains of {split}"

    from protray.cluster import score_net as module

    monkeypatch.setattr(module, "read_structures", read)
    assert module.held_out(None) == (used, f"chains of {used}")


@pytest.mark.ray
def test_writes_what_it_promises(finished) -> None:
    from protray.training.structure.score_export import load_score_net

    assert load_score_net(finished / "model").config == TINY.net
    metrics = json.loads((finished / "metrics.json").read_text())
    assert [point["step"] for point in metrics["history"]] == [5, 10]
    assert 0 < metrics["history"][-1]["validation/loss_over_zero"] < 1.05
    assert metrics["chains"] == {"training chains": 640, "test chains": 240}
    assert {row["method"] for row in metrics["denoising"]} >= {"noisy", "score network"}
    assert "Distance maps" in (finished / "report.html").read_text()
    assert not (finished / "cache").exists()


@pytest.mark.ray
def test_every_noise_level_is_in_mlflow_once_per_point(finished) -> None:
    found = curve(finished, "protray-score-net")
    for name in ("train/loss", "validation/loss", "validation/level_01/explained", "validation/level_32/loss"):
        assert [step for step, _ in found[name]] == [5, 10]
    assert any(name.startswith("denoising/") for name in found)


@pytest.mark.ray
def test_again_costs_nothing_and_other_settings_are_refused(finished) -> None:
    from protray.pipelines.structure.score_net import score_net

    before = (finished / "metrics.json").stat().st_mtime_ns
    assert score_net(replace(TINY, out=finished))["steps"] == 10
    assert (finished / "metrics.json").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"fit.seed = 0, now fit.seed = 1"):
        score_net(replace(TINY, out=finished, fit=replace(TINY.fit, seed=1)))


@pytest.mark.ray
def test_two_workers_and_a_crash_give_the_same_curve(ray_local, finished, tmp_path, monkeypatch) -> None:
    """The first worker dies once after the first checkpoint; Ray Train starts both again from there."""
    from protray.pipelines.structure import score_net as pipeline

    loop, died = pipeline._loop, tmp_path / "died"

    def dying(settings, report, resume, world):  # noqa: ANN001, ANN202
        def report_and_die(metrics, state):  # noqa: ANN001, ANN202
            report(metrics, state)
            if metrics["step"] == 7 and world.rank == 0 and not died.exists():
                died.touch()
                raise RuntimeError("killed by the test")

        loop(settings, report_and_die, resume, world)

    monkeypatch.setattr(pipeline, "_loop", dying)
    pipeline.score_net(replace(TINY, out=tmp_path / "two", workers=2))
    assert died.exists()
    one, two = curve(finished, "protray-score-net"), curve(tmp_path / "two", "protray-score-net")
    for name in ("train/loss", "validation/loss", "validation/explained"):
        assert [step for step, _ in two[name]] == [5, 10]
        assert [value for _, value in two[name]] == pytest.approx([value for _, value in one[name]], rel=1e-4)


@pytest.mark.ray
def test_a_chain_with_broken_coordinates_is_named(ray_local, tmp_path, monkeypatch) -> None:
    import numpy as np

    from protray.pipelines.structure import score_net as pipeline

    loop = pipeline._loop

    def broken(settings, report, resume, world):  # noqa: ANN001, ANN202
        there = loop.__globals__  # in the worker the function is a copy with names of its own
        read = there["read_structures"]

        def read_broken(path, split):  # noqa: ANN001, ANN202
            chains = read(path, split)
            ca_R3 = chains.ca_R3.copy()
            ca_R3[chains.starts[7] : chains.starts[8]] = np.nan
            return replace(chains, ca_R3=ca_R3)

        there["read_structures"] = read_broken
        loop(settings, report, resume, world)

    monkeypatch.setattr(pipeline, "_loop", broken)
    from protray.data.structures import read_structures

    name = read_structures(None, "train").ids[7]
    with pytest.raises(ValueError, match=name):
        pipeline.score_net(replace(TINY, out=tmp_path / "broken"))
