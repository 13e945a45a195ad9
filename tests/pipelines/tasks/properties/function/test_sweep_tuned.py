"""A trial of fine-tuning: what it begins with, what is kept, and that it goes on where it stopped."""

import copy
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from joint_encoders import NET
from tiny_model import save_tiny_lm

from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.trial import Trial, run_trial
from protray.data.location import Location
from protray.data.sample import ENZYMES
from protray.data.tasks.examples import read_rows
from protray.evaluation.sweep_halves import ids_of
from protray.models.joint.ssdm_config import SsdmConfig
from protray.pipelines.tasks.properties.function.sweep import COMMON, ranking
from protray.pipelines.tasks.properties.function.sweep_tuned import SWEEP, Shared, TunedSettings, frozen
from protray.training.structure import random_encoders
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig
from protray.training.tasks.properties.head_export import load_head

TRIAL = Trial(key="k", point={}, seed=0, name="one", role="trial")
FIT = FineTuneConfig(epochs=2, batch=8, micro_batch=4, learning_rate=1e-3, warmup=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> SweepRun:
    """A study on the shortest enzymes in the package, one of them without a structure, with a tiny language model."""
    folder = tmp_path_factory.mktemp("sweep")
    rows = []
    for split, count in (("train", 20), ("validation", 8), ("test", 3)):
        mine = [row for row in pq.read_table(ENZYMES).to_pylist() if row["split"] == split and row["ec"]]
        rows += sorted(mine, key=lambda row: (len(row["sequence"]), row["id"]))[:count]
    for row in rows:
        row["labels"] = row["ec"][0][:2] + "-.-.-"
    rows[0]["backbone_cA"] = None
    kinds = {"backbone_cA": pa.list_(pa.int16())}
    names = ("id", "sequence", "labels", "split", "cluster", "backbone_cA")
    pq.write_table(
        pa.table({name: pa.array([row[name] for row in rows], kinds.get(name)) for name in names}), folder / "t.parquet"
    )
    lm = str(save_tiny_lm(folder / "lm"))
    return SweepRun(
        space="tune_spaces/ssdm_fine_tune.py", data=Location(folder / "t.parquet"), out=Location(folder / "out"), lm=lm
    )


@pytest.fixture
def small(monkeypatch) -> None:
    def config(name, fusion="none", lm=None) -> SsdmConfig:  # noqa: ANN001
        return SsdmConfig(net=NET, fusion=fusion, lm=lm)

    monkeypatch.setattr(random_encoders, "random_config", config)


@pytest.fixture
def shared(run, small, monkeypatch) -> Shared:
    from protray.pipelines.tasks.properties.function import sweep_tuned

    few = replace(sweep_tuned.function_run(run), learn=replace(sweep_tuned.function_run(run).learn, least=2))
    monkeypatch.setattr(sweep_tuned, "function_run", lambda _: few)
    return SWEEP.prepare(run, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("ratio", [0.0, 0.1])
def test_a_trial_is_scored_on_both_halves_and_kept(run, shared, tmp_path, ratio) -> None:
    settings = replace(SWEEP.base(run), fit=replace(FIT, lm_lr_ratio=ratio))
    seen = []
    record = run_trial(
        SWEEP, TRIAL, settings, shared, COMMON, Location(tmp_path / "k"),
        lambda step, metrics: seen.append((step, metrics[COMMON])),
    )  # fmt: skip
    assert [step for step, _ in seen] == [0, 3, 6] and len(record.values) == 8  # epochs 0, 1 and 2
    chosen = [record.values[name] for name in ids_of("choosing", record.clusters)]
    assert record.score == pytest.approx(np.mean(chosen)) == pytest.approx(max(score for _, score in seen))
    SWEEP.save_model(run, settings, shared, tmp_path / "k" / "result", tmp_path / "model")
    _, facts = load_head(tmp_path / "model")
    assert facts.labels == shared.labels and facts.reads == "statistics" and not facts.side_chains


def test_frozen_vectors_are_those_of_the_trial(run, shared) -> None:
    """One protein has no structure; another seed is another network; without a fusion nothing reads the sequence."""
    settings = SWEEP.base(run)
    x_NF, examples = frozen(settings.embedding, shared, "train")
    assert len(x_NF) == len(read_rows(shared.examples, "train")) == len(examples.y_NT)
    lost = examples.row_N < 0
    assert lost.sum() == 1 and np.isnan(x_NF[lost]).all() and np.isfinite(x_NF[~lost]).all()
    other, _ = frozen(replace(settings, fit=replace(settings.fit, seed=1)).embedding, shared, "train")
    assert not np.allclose(other[~lost], x_NF[~lost])
    alone, _ = frozen(replace(settings, fusion="none").embedding, shared, "train")
    assert alone.shape[1] < x_NF.shape[1]


def test_a_trial_goes_on_where_it_stopped(run, shared, tmp_path) -> None:
    settings, states = replace(SWEEP.base(run), fit=FIT), []

    def stop(step: int | None, metrics: dict, state: dict | None) -> None:
        if state:
            states.append(copy.deepcopy(state))
            if len(states) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SWEEP.train(settings, shared, tmp_path / "a", stop, None, "cpu")
    again = SWEEP.train(settings, shared, tmp_path / "b", stop, states[1], "cpu")
    whole = SWEEP.train(settings, shared, tmp_path / "c", stop, None, "cpu")
    assert again.values == pytest.approx(whole.values) and len(again.history) == 3


def test_what_a_study_starts_from(run, small) -> None:
    assert SWEEP.base(run) == TunedSettings(lm=run.lm, fit=FineTuneConfig(epochs=run.epochs))
    paper = SWEEP.base(replace(run, model="paper")).fit
    assert (paper.batch, paper.crop, paper.schedule, paper.epochs) == (8, 550, "plateau", run.epochs)
    sample = replace(run, data=None)
    assert SWEEP.identity(sample).keys() == {"data", "lm"} and SWEEP.guess_seconds(sample) > 0
    assert ranking(np.array([[0.9, 0.5]]), np.array([[False, True]])).tolist() == [0.5]
