"""jobs/pretrain_bert.py's pipeline on 150 random proteins with a tiny model; its perplexities mean nothing."""

import gzip
import json
import logging
import lzma
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from protray.pipelines.language_model.pretrain_run import PretrainRun
from tracking_store import curve

from protray.plm.pretraining import MaskedLmConfig
from protray.seq.alphabet import AMINO_ACIDS

pytestmark = pytest.mark.ray

TINY = MaskedLmConfig(
    steps=12, warmup=2, tokens_per_step=320, tokens_at_once=160, crop=32, report_every=4, checkpoint_every=3,
    validation_sequences=10, bf16=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A folder of plain, gz and xz FASTA files, held-out proteins, and a table of clusters of three."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "fasta").mkdir()
    rng = np.random.default_rng(0)
    words = {f"p{m}": "".join(rng.choice(list(AMINO_ACIDS), 30 + m % 20)) for m in range(150)}
    text = [f">{name} protein\n{word}\n" for name, word in words.items()]
    (folder / "fasta" / "a.fasta").write_text("".join(text[:50]) + ">short\nACD\n>odd\n" + "A1" * 30 + "\n")
    (folder / "fasta" / "b.fasta.gz").write_bytes(gzip.compress("".join(text[50:100]).encode()))
    (folder / "fasta" / "c.fa.xz").write_bytes(lzma.compress("".join(text[100:]).encode()))
    (folder / "held.fasta").write_text("".join(text[:6]))
    (folder / "exclude.txt").write_text("p6\np7\n")
    (folder / "clusters.tsv").write_text("".join(f"p{m - m % 3}\tp{m}\n" for m in range(150)))
    return folder


def run_of(inputs: Path, out: Path, **settings: object) -> PretrainRun:
    plain = {"held_out": (inputs / "held.fasta",), "exclude": inputs / "exclude.txt"}
    return PretrainRun(fasta=(inputs / "fasta",), out=out, lm=TINY, **(plain | settings))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(ray_local, inputs, tmp_path_factory) -> Path:
    from protray.pipelines.language_model.pretrain import pretrain

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("runs")
        patch.chdir(folder)  # a relative --out: workers have another working directory
        pretrain(run_of(inputs, Path("one")))
    return folder / "one"


def test_the_model_is_one_of_transformers(finished) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model = AutoModelForMaskedLM.from_pretrained(finished / "model")
    tokens = AutoTokenizer.from_pretrained(finished / "model")("ACDEF", return_tensors="pt")
    assert model(**tokens).logits.shape == (1, 7, 33)


def test_writes_what_it_promises(finished) -> None:
    facts = json.loads((finished / "model" / "pretraining.json").read_text())
    assert facts["corpus"]["sequences"] == {"train": 142, "held-out": 0}  # 150 less 6 held out and 2 excluded
    assert facts["corpus"]["left_out"] == {
        "excluded by its id": 8,
        "a character that is no residue": 1,
        "shorter than 30 residues": 1,
    }
    assert facts["metrics"]["step"] == 12
    scores = facts["maps"]["held"]
    assert scores["proteins"] == 6
    assert scores["frequency_perplexity"] == pytest.approx(20, abs=1)  # random residues
    assert (finished / "curve.png").stat().st_size > 1000
    assert [path.name.split("-")[0] for path in (finished / "cache").iterdir()] == ["corpus"]
    points = curve(finished, "protray-pretrain")
    assert [step for step, _ in points["train/perplexity"]] == [4, 8, 12]
    assert {"validation/perplexity", "validation/top1", "train/hidden_perplexity", "maps/held/top1"} <= points.keys()


def test_second_run_computes_nothing(finished, inputs, monkeypatch, caplog) -> None:
    from protray.pipelines.language_model import pretrain as module

    monkeypatch.setattr(module, "start_ray", lambda: pytest.fail("Ray was started"))
    with caplog.at_level(logging.INFO, "protray"):
        again = module.pretrain(run_of(inputs, finished))
    assert again.items() >= json.loads((finished / "model" / "pretraining.json").read_text()).items()
    assert "finished; nothing to compute" in caplog.text


def test_other_settings_in_the_same_folder_are_refused(finished, inputs) -> None:
    from protray.pipelines.language_model.pretrain import pretrain

    with pytest.raises(ValueError, match="lm.steps = 12, now lm.steps = 13"):
        pretrain(replace(run_of(inputs, finished), lm=replace(TINY, steps=13)))


def dies_once(loop, after: int):  # noqa: ANN001, ANN201
    """`loop` whose workers end without a word after a checkpoint; started again, they go on."""

    def mortal(settings, report, resume, world) -> None:  # noqa: ANN001
        import os

        def report_or_die(metrics, state) -> None:  # noqa: ANN001
            report(metrics, state)
            if resume is None and metrics["step"] >= after:
                os._exit(1)

        loop(settings, report_or_die, resume, world)

    return mortal


def test_two_workers_that_die_give_the_same_curve(finished, inputs, tmp_path, monkeypatch) -> None:
    """They die at step 6, half-way between two reports; each step is in MLflow once, and equal up to float noise."""
    from protray.pipelines.language_model import pretrain as module

    monkeypatch.setattr(module, "_loop", dies_once(module._loop, after=6))
    out = tmp_path / "two"
    module.pretrain(run_of(inputs, out, workers=2))
    one, two = curve(finished, "protray-pretrain"), curve(out, "protray-pretrain")
    assert one.keys() == two.keys()
    assert {value for _, value in one.pop("train/world_size")} == {1}
    assert {value for _, value in two.pop("train/world_size")} == {2}
    for name in one.keys() - {"train/residues_per_second"}:
        assert [step for step, _ in two[name]] == [step for step, _ in one[name]], name
        expected = pytest.approx([value for _, value in one[name]], rel=2e-3 if name.startswith("maps") else 1e-4)
        assert [value for _, value in two[name]] == expected, name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"held_out": ()}, "give exactly one of --held-out FILE.fasta and --clusters TABLE"),
        ({"clusters": Path("here.tsv")}, "give exactly one of"),
        ({"exclude": Path("gone.txt")}, "gone.txt: no such file"),
        ({"held_out": (Path("."), Path("."))}, "two of .* are the same"),
        ({"workers": 3}, "3 workers cannot share steps of 320 tokens"),
    ],
)
def test_bad_settings_are_refused_at_once(inputs, tmp_path, settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        run_of(inputs, tmp_path, **settings).check()
    with pytest.raises(ValueError, match="held-out-share must lie between 0 and 1, got 1.5"):
        run_of(inputs, tmp_path, held_out_share=1.5).check()
