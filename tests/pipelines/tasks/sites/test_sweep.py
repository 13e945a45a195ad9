"""A trial of the network for interaction sites: which proteins choose, what is kept, and that it goes on."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sites_here import proteins

from protray.cluster.tuning.one_fit import NetSettings, Shared
from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.trial import Trial, run_trial
from protray.data import schemas
from protray.data.location import Location
from protray.data.sites.batch import FeatureSet
from protray.evaluation.sweep_halves import ids_of
from protray.inference.tasks.find_sites import SiteFinder
from protray.models.tasks.site_config import SiteNetConfig
from protray.pipelines.tasks.sites import sweep
from protray.pipelines.tasks.sites.inputs import PAPER_NET
from protray.pipelines.tasks.sites.sweep import COMMON, SWEEP, score
from protray.training.tasks.sites.steps import SiteFitConfig

NET = SiteNetConfig(hidden=(8, 4), ratio=0.1)
SETTINGS = NetSettings(net=NET, fit=SiteFitConfig(epochs=3, batch=4, micro_batch=4))
TRIAL = Trial(key="k", point={}, seed=0, name="one", role="trial")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Shared:
    """Eight training proteins and six validation proteins."""
    file = Location(tmp_path_factory.mktemp("sweep")) / "part-00000.parquet"
    rows = [
        {"id": one.id, "sequence": one.sequence, "label": "".join(map(str, one.label_L)), "cluster": one.cluster,
         "split": "train" if n < 8 else "validation"}
        for n, one in enumerate(proteins(14))
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema=schemas.SITES), file.path)
    return Shared([file], SETTINGS.fit.steps(8))


def test_one_half_of_the_proteins_chooses_and_both_are_scored(shared, tmp_path) -> None:
    seen = []
    record = run_trial(
        SWEEP, TRIAL, SETTINGS, shared, COMMON, Location(tmp_path / "k"),
        lambda step, metrics: seen.append((step, metrics[COMMON])),
    )  # fmt: skip
    assert [step for step, _ in seen] == [2, 4, 6] and len(record.values) == 6
    chosen = [record.values[name] for name in ids_of("choosing", record.clusters)]
    assert record.score == pytest.approx(np.mean(chosen)) and 0.3 < record.score < 1 and len(chosen) == 3
    run, target = SweepRun(space="tune_spaces/sites.py"), tmp_path / "model"
    SWEEP.save_model(run, SETTINGS, shared, tmp_path / "k" / "result", target)
    assert SiteFinder.open(target).model.net.config == NET


def test_likelihood_by_hand(monkeypatch) -> None:
    """Right labels at 0.8 and 0.2: the geometric mean is 0.4; a residue without a label does not count."""
    (one,) = proteins(1)
    one = replace(one, sequence="WAA", label_L=np.array([1, 0, -1], np.int8))
    monkeypatch.setattr(sweep, "predict", lambda *_: [np.array([0.8, 0.8, 0.1])])
    values, objectives = score(None, [one], FeatureSet(), "cpu")  # type: ignore[arg-type]
    assert values == {one.id: pytest.approx(0.4)} and objectives["AUPRC"] == pytest.approx(0.5)


def test_a_study_starts_from_the_defaults_or_from_the_paper() -> None:
    run = SweepRun(space="tune_spaces/sites.py", epochs=3, seed=5)
    assert SWEEP.base(run).net == SiteNetConfig() and SWEEP.base(run).fit == SiteFitConfig(epochs=3, seed=5)
    assert SWEEP.base(replace(run, model="paper")).net == replace(PAPER_NET, faithful=False)
    assert 0 < SWEEP.guess_seconds(run) < SWEEP.guess_seconds(replace(run, model="paper"))
