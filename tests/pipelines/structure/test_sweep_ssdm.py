"""A trial of SSDM: what it is scored by, which chains choose, what is kept, and that it goes on where it stopped."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from ssdm_here import sample_chains
from tiny_model import save_tiny_lm

from protray.cluster.tuning.settings import SweepRun
from protray.cluster.tuning.trial import Trial, run_trial
from protray.data.location import Location
from protray.data.structure.atoms import AtomStructures, read_atoms
from protray.evaluation.sweep_halves import ids_of
from protray.inference.embeddings.structure_encoder import StructureEncoder
from protray.models.joint.fusion_config import FusionConfig
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import PAPER, FrameAttentionConfig
from protray.pipelines.structure import sweep_ssdm as module
from protray.pipelines.structure.ssdm import PAPER_FIT
from protray.pipelines.structure.sweep_ssdm import COMMON, SWEEP, Shared, SsdmSettings
from protray.training.structure.ssdm_config import ObjectiveConfig, SsdmFitConfig

NET = FrameAttentionConfig(channels=8, heads=2, pair=4, layers=1, neighbours=6)
SETTINGS = SsdmSettings(
    objective="residue+distance", fusion="none", lm="shipped", lm_lr_ratio=0.1, net=NET, fuse=FusionConfig(),
    learn=ObjectiveConfig(), fit=SsdmFitConfig(epochs=4, batch=8, micro_batch=8, crop=24, warmup=2),
)  # fmt: skip
TRIAL = Trial(key="k", point={}, seed=0, name="one", role="trial")
SPLITS = {"train": 20, "validation": 12, "test": 5}


@pytest.fixture
def shared(monkeypatch) -> Iterator[Shared]:
    """Small chains of the sample, and three folds that mean nothing; those of the test split have one, too."""
    parts = {split: sample_chains(split, count, 36, 60) for split, count in SPLITS.items()}

    known = {id for part in parts.values() for id in part.ids}
    whole = read_atoms()
    everything = whole.select([m for m, id in enumerate(whole.ids) if id in known])

    def read(data: Location | None, split: str | None = None) -> AtomStructures:
        return parts[split] if split else everything

    fold_of = {id: f"{n % 3 + 1}.1.1" for n, id in enumerate(sorted(known))}
    monkeypatch.setattr(module, "read_atoms", read)
    monkeypatch.setattr(module, "folds", lambda *_: fold_of)
    for cached in (module._chains, module.queries):
        cached.cache_clear()
    yield Shared(None, None, module._total(None, SETTINGS))
    for cached in (module._chains, module.queries):
        cached.cache_clear()


def test_a_trial_is_scored_by_nearest_chains_of_the_choosing_half(shared, tmp_path) -> None:
    seen = []
    record = run_trial(
        SWEEP, TRIAL, SETTINGS, shared, COMMON, Location(tmp_path / "k"),
        lambda step, metrics: seen.append((step, metrics[COMMON])),
    )  # fmt: skip
    assert shared.steps == 10 and [step for step, _ in seen] == [2, 4, 6, 8, 10]
    assert len(record.values) == SPLITS["train"] + SPLITS["validation"] and set(record.values.values()) <= {0.0, 1.0}
    assert not record.values.keys() & set(sample_chains("test", 5, 36, 60).ids)
    chosen = [record.values[name] for name in ids_of("choosing", record.clusters)]
    assert record.score == pytest.approx(np.mean(chosen)) and 0 < record.score < 1
    assert [(point["step"], point[COMMON]) for point in record.history] == seen
    assert all(np.isfinite(point["validation/loss"]) for point in record.history)
    assert record.objectives.keys() == {"same topology", "explained on validation"}
    run, target = SweepRun(space="tune_spaces/ssdm_net.py"), tmp_path / "model"
    SWEEP.save_model(run, SETTINGS, shared, tmp_path / "k" / "result", target)
    encoder = StructureEncoder.open(target)
    assert encoder.card.config == SETTINGS.joint and encoder.card.objectives == ("residue", "distance")
    found = module.queries(None, None)
    x_NF = module.vectors(found.chains, found.rows, encoder)
    same_N = module.same_class(x_NF, found.label_N, list(found.clusters.values()))
    assert same_N.tolist() == list(record.values.values())


def test_chains_related_to_the_confirming_half_choose_no_weights(shared, tmp_path, monkeypatch) -> None:
    seen: list[str] = []
    plain = module.validation_batches

    def watched(chains: AtomStructures, *more) -> list:  # noqa: ANN002
        seen.extend(chains.ids)
        return plain(chains, *more)

    monkeypatch.setattr(module, "validation_batches", watched)
    SWEEP.train(SETTINGS, replace(shared, steps=2), tmp_path / "a", lambda *_: None, None, "cpu")
    clusters = module.queries(None, None).clusters
    assert seen and not set(seen) & set(ids_of("confirming", clusters))
    assert set(seen) < set(sample_chains("validation", 12, 36, 60).ids)


def test_a_trial_goes_on_where_it_stopped(shared, tmp_path) -> None:
    """With a language model that learns."""
    lm = str(save_tiny_lm(tmp_path / "lm"))
    settings, states = replace(SETTINGS, fusion="serial", lm=lm, objective="distance"), []

    def stop(step: int | None, metrics: dict, state: dict | None) -> None:
        if state is not None:
            states.append(state)
            if len(states) == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SWEEP.train(settings, shared, tmp_path / "a", stop, None, "cpu")
    again = SWEEP.train(settings, shared, tmp_path / "b", stop, states[0], "cpu")
    whole = SWEEP.train(settings, shared, tmp_path / "c", stop, None, "cpu")
    assert again.values == whole.values and again.scores == whole.scores
    for one, other in zip(again.history, whole.history, strict=True):
        assert one["validation/loss"] == pytest.approx(other["validation/loss"]) and one[COMMON] == other[COMMON]


def test_objectives_without_a_loss_of_who_knows_nothing_have_one_score(shared, tmp_path) -> None:
    settings = replace(SETTINGS, objective="residue+denoise")
    found = SWEEP.train(settings, shared, tmp_path, lambda *_: None, None, "cpu")
    assert found.objectives.keys() == {"same topology"} and found.scores.keys() == {COMMON}


def test_settings_of_a_point() -> None:
    assert SETTINGS.joint == SsdmConfig(net=NET) and SETTINGS.objectives == ObjectiveConfig()
    fused = replace(SETTINGS, fusion="cross", objective="contrast")
    assert (fused.joint.lm, fused.objectives.objective) == ("shipped", ("contrast",))
    with pytest.raises(ValueError, match="objective must be one or more of"):
        replace(SETTINGS, objective="residue+colour")


def test_a_study_starts_from_the_defaults_or_from_the_paper(shared) -> None:
    run = SweepRun(space="tune_spaces/ssdm_net.py", epochs=3, seed=5)
    assert SWEEP.base(run).net == FrameAttentionConfig() and SWEEP.base(run).fit == SsdmFitConfig(epochs=3, seed=5)
    paper = SWEEP.base(replace(run, model="paper"))
    assert paper.net == PAPER and paper.fit == replace(PAPER_FIT, epochs=3, seed=5)
    fused = SweepRun(space="tune_spaces/ssdm_lr_ratio.py", epochs=3)
    assert 0 < SWEEP.guess_seconds(run) < SWEEP.guess_seconds(fused)


def test_what_trials_have_in_common(shared, tmp_path) -> None:
    run, fused = SweepRun(space="tune_spaces/ssdm_net.py"), SweepRun(space="tune_spaces/ssdm_fusion.py")
    assert SWEEP.identity(run)["lm"] is None and SWEEP.identity(fused)["lm"]
    with pytest.raises(ValueError, match="give --labels, a table of id and cath, with --data"):
        SWEEP.identity(replace(run, data=Location(tmp_path)))
    with pytest.raises(ValueError, match=r"it has no config\.json"):
        SWEEP.identity(replace(fused, lm=str(tmp_path)))
