"""A trial of a head: which proteins choose, what is kept, and that it goes on where it stopped."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from protray.cluster.tuning.one_fit import NetSettings
from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.trial import Trial, run_trial
from protray.data.location import Location
from protray.data.tasks.examples import write_examples
from protray.evaluation.sweep_halves import ids_of
from protray.models.tasks.head_config import HeadConfig
from protray.pipelines.tasks.properties.function.sweep import COMMON, PAPER_NET, SWEEP, Shared, ranking
from protray.training.tasks.properties.head_export import load_head
from protray.training.tasks.properties.head_steps import HeadFitConfig
from protray.training.tasks.properties.heads import predict

SETTINGS = NetSettings(
    net=HeadConfig(hidden=8, dropout=0.0), fit=HeadFitConfig(epochs=3, patience=3, batch=8, micro_batch=8)
)
TRIAL = Trial(key="k", point={}, seed=0, name="one", role="trial")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Shared:
    """Synthetic vectors of 32 training and 12 validation proteins, whose first numbers decide their labels."""
    folder, rng = Location(tmp_path_factory.mktemp("sweep")), np.random.default_rng(0)
    x_NC = rng.normal(size=(44, 4)).astype(np.float32)
    ids = [f"p{n}" for n in range(44)]
    columns = {
        "id": ids, "sequence": ["MKV"] * 44, "split": ["train"] * 32 + ["validation"] * 12,
        "cluster": ids, "sets": [[]] * 44,
    }  # fmt: skip
    write_examples(folder / "e.parquet", columns, np.column_stack([np.ones(44), x_NC[:, :2] > 0]))
    from protray.data.embeddings import embedding_schema

    schema = embedding_schema("protein", 4)
    table = {"id": ids, "sequence": ["MKV"] * 44, "embedding": list(x_NC)}
    import pyarrow as pa

    (folder / "v").path.mkdir()
    pq.write_table(pa.table(table, schema=schema), folder / "v" / "part.parquet")
    return Shared(folder / "e.parquet", [folder / "v"], ["1", "2", "3"], SETTINGS.fit.steps(32))


def test_one_half_of_the_proteins_chooses_and_both_are_scored(shared, tmp_path) -> None:
    seen = []
    record = run_trial(
        SWEEP, TRIAL, SETTINGS, shared, COMMON, Location(tmp_path / "k"),
        lambda step, metrics: seen.append((step, metrics[COMMON])),
    )  # fmt: skip
    assert [step for step, _ in seen] == [4, 8, 12] and len(record.values) == 12
    chosen = [record.values[name] for name in ids_of("choosing", record.clusters)]
    assert record.score == pytest.approx(np.mean(chosen)) == pytest.approx(seen[-1][1])
    run, target = SweepRun(space="tune_spaces/function.py"), tmp_path / "model"
    SWEEP.save_model(run, SETTINGS, shared, tmp_path / "k" / "result", target)
    head, facts = load_head(target)
    assert (facts.labels, facts.lm) == (["1", "2", "3"], "shipped") and 0 < (facts.threshold or 0) < 1
    assert predict(head, np.zeros((1, 4), np.float32)).shape == (1, 3)


def test_a_trial_goes_on_where_it_stopped(shared, tmp_path) -> None:
    import copy

    states: list[dict] = []

    def stop(step: int | None, metrics: dict, state: dict | None) -> None:
        states.append(copy.deepcopy(state or {}))
        if len(states) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SWEEP.train(SETTINGS, shared, tmp_path / "a", stop, None, "cpu")
    again = SWEEP.train(SETTINGS, shared, tmp_path / "b", stop, states[0], "cpu")
    whole = SWEEP.train(SETTINGS, shared, tmp_path / "c", stop, None, "cpu")
    assert again.values == pytest.approx(whole.values) and len(again.history) == 3


def test_ranking_by_hand() -> None:
    """Labels at ranks 1 and 3: (1 + 2/3) / 2."""
    assert ranking(np.array([[0.9, 0.5, 0.4]]), np.array([[True, False, True]])).tolist() == [pytest.approx(5 / 6)]


def test_a_study_starts_from_the_defaults_or_from_the_paper() -> None:
    run = SweepRun(space="tune_spaces/function.py", epochs=3, seed=5)
    assert SWEEP.base(run).net == HeadConfig() and SWEEP.base(run).fit == HeadFitConfig(epochs=3, patience=3, seed=5)
    assert SWEEP.base(replace(run, model="paper")).net == PAPER_NET
    assert 0 < SWEEP.guess_seconds(run) < SWEEP.guess_seconds(replace(run, model="paper"))
