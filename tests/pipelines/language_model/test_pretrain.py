"""jobs/pretrain_bert.py's pipeline on 150 random proteins with a tiny model; its perplexities mean nothing."""

from dataclasses import replace

import numpy as np
import pytest
from batch_here import plan_here
from reuse import begin_with
from tracking_store import curve
from train_here import train_here

from protray.cluster.train import driver
from protray.cluster.train.command import training_command
from protray.data.location import Location
from protray.pipelines.language_model.pretrain import JOB, PretrainRun
from protray.plm.pretraining.config import MaskedLmConfig
from protray.seq.alphabet import AMINO_ACIDS

TINY = MaskedLmConfig(
    steps=12, warmup=2, tokens_per_step=320, tokens_at_once=160, crop=32, report_every=4, checkpoint_every=3,
    validation_sequences=10, bf16=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Location:
    """A FASTA file, and held-out proteins of it."""
    folder = Location(tmp_path_factory.mktemp("inputs"))
    rng = np.random.default_rng(0)
    words = {f"p{m}": "".join(rng.choice(list(AMINO_ACIDS), 30 + m % 20)) for m in range(150)}
    text = [f">{name} protein\n{word}\n" for name, word in words.items()]
    (folder / "all.fasta").write_text("".join(text))
    (folder / "held.fasta").write_text("".join(text[:6]))
    return folder


def run_of(inputs: Location, out: Location, **settings: object) -> PretrainRun:
    plain = {"fasta": (inputs / "all.fasta",), "held_out": (inputs / "held.fasta",), "out": out, "lm": TINY}
    return PretrainRun(**(plain | settings))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(inputs, tmp_path_factory) -> Location:
    """The output folder of a run with one worker."""
    out = Location(tmp_path_factory.mktemp("runs")) / "one"
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch)
        driver.run_training(JOB, run_of(inputs, out))
    return out


def test_the_model_is_one_of_transformers(finished) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model = AutoModelForMaskedLM.from_pretrained(str(finished / "model"))
    tokens = AutoTokenizer.from_pretrained(str(finished / "model"))("ACDEF", return_tensors="pt")
    assert model(**tokens).logits.shape == (1, 7, 33)


def test_writes_what_it_promises(finished) -> None:
    metrics = (finished / "metrics.json").read_json()
    assert metrics["corpus"] == {"sequences": {"train": 144, "held-out": 0}, "left_out": {"excluded by its id": 6}} | {
        "residues": {"train": sum(30 + m % 20 for m in range(6, 150)), "held-out": 0}
    }
    assert [point["step"] for point in metrics["history"]] == [4, 8, 12]
    scores = metrics["maps"]["held"]
    assert scores["proteins"] == 6
    assert scores["frequency_perplexity"] == pytest.approx(20, abs=1)  # random residues
    assert (finished / "curve.png").size() > 1000
    assert {file[len(finished / "cache") + 1 :].split("-")[0] for file in (finished / "cache").files()} == {"corpus"}
    points = curve(finished.path, "protray-pretrain")
    assert [step for step, _ in points["train/perplexity"]] == [4, 8, 12]
    assert {"validation/perplexity", "validation/top1", "train/hidden_perplexity", "maps/held/top1"} <= points.keys()


def test_again_starts_no_ray_and_other_settings_are_refused(finished, inputs, monkeypatch) -> None:
    monkeypatch.setattr(driver, "start_ray", lambda: pytest.fail("Ray was started"))
    assert driver.run_training(JOB, run_of(inputs, finished)) == (finished / "metrics.json").read_json()
    with pytest.raises(ValueError, match=r"was made differently: lm\.steps was 12, is 13"):
        driver.run_training(JOB, run_of(inputs, finished, lm=replace(TINY, steps=13)))


@pytest.mark.ray
def test_two_workers_on_ray_give_the_same_curve(finished, ray_local, inputs, tmp_path) -> None:
    """Up to float noise, and each step once."""
    out = begin_with(finished, Location(tmp_path) / "two", "run.json", "cache/corpus-*")
    driver.run_training(JOB, run_of(inputs, out, workers=2, cpus_per_worker=1))
    one, two = curve(finished.path, "protray-pretrain"), curve(out.path, "protray-pretrain")
    assert one.keys() == two.keys()
    assert {value for _, value in one.pop("train/world_size")} == {1}
    assert {value for _, value in two.pop("train/world_size")} == {2}
    for name in one.keys() - {"train/residues_per_second"}:
        assert [step for step, _ in two[name]] == [step for step, _ in one[name]], name
        expected = pytest.approx([value for _, value in one[name]], rel=2e-3 if name.startswith("maps") else 1e-4)
        assert [value for _, value in two[name]] == expected, name


def test_a_plan_times_made_up_sequences_and_writes_nothing(inputs, tmp_path, monkeypatch, capsys) -> None:
    plan_here(monkeypatch)
    run = run_of(inputs, Location(tmp_path) / "out", plan=True)
    monkeypatch.setattr("protray.cluster.runtime.command.parse", lambda *_: run)
    assert training_command(JOB, PretrainRun, "") == 0
    shown = capsys.readouterr().out
    [line] = [line for line in shown.splitlines() if line.startswith("pretrain")]
    assert "12 steps of 320 tokens" in line and "1 x 2 CPU" in line
    assert "in all     about 0.0" in shown and "nothing was written there" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"held_out": ()}, "give exactly one of --held-out FILE.fasta and --clusters TABLE"),
        ({"clusters": Location("here.tsv")}, "give exactly one of"),
        ({"exclude": Location("gone.txt")}, "gone.txt: no such file"),
        ({"held_out": (Location("."), Location("."))}, "two of .* are the same"),
        ({"workers": 3}, "3 workers cannot share steps of 320 tokens"),
    ],
)
def test_bad_settings_are_refused_at_once(inputs, tmp_path, settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        run_of(inputs, Location(tmp_path), **settings).check()
    with pytest.raises(ValueError, match="held-out-share must lie between 0 and 1, got 1.5"):
        run_of(inputs, Location(tmp_path), held_out_share=1.5).check()
