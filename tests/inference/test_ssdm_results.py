"""What is measured of a pre-training: by hand where it can be, and on a tiny encoder with a language model."""

import math
from dataclasses import replace

import numpy as np
import pytest
from ssdm_here import sample_chains
from tiny_model import save_tiny_lm

from protray.data.location import Location
from protray.data.structure.atoms import AtomStructures
from protray.data.structure.structures import MISSING
from protray.evaluation.ssdm import TRAINED, UNTRAINED
from protray.inference import ssdm_results as module
from protray.inference.ssdm_results import denoised, held_out, intervals, measure, nothing_known
from protray.losses.self_prediction import MIDDLE, SPREAD
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.training.structure.ssdm import evaluate, fresh, validation_batches
from protray.training.structure.ssdm_config import ObjectiveConfig, SsdmFitConfig
from protray.training.structure.ssdm_export import SsdmCard, save_ssdm

NET = FrameAttentionConfig(channels=8, heads=2, pair=4, layers=1, neighbours=8)
FIT = SsdmFitConfig(batch=4, micro_batch=4, crop=24)
LEARN = ObjectiveConfig(objective=("residue", "distance", "contrast", "denoise"), contrast_crop=16)


@pytest.fixture
def few(monkeypatch) -> AtomStructures:
    """Ten chains, which stand for every dataset and split."""
    chains = sample_chains("test", 10, 36, 60)
    monkeypatch.setattr(module, "read_atoms", lambda *_: chains)
    return chains


def test_held_out_chains_come_with_the_name_of_their_split(monkeypatch) -> None:
    """Test chains that are all too short are none."""
    short, long = sample_chains("train", 3, 20, 30), sample_chains("train", 3, 60, 80)
    for test, used in ((long, "test"), (short, "validation"), (None, "validation")):

        def read(data: Location | None, split: str, test: AtomStructures | None = test) -> AtomStructures:
            if split == "test" and test is None:
                raise ValueError("no chain")
            return long if split == "validation" else test  # type: ignore[return-value]

        monkeypatch.setattr(module, "read_atoms", read)
        assert held_out(None, 50) == (used, long)


# ---- losses


def test_who_knows_nothing_knows_frequencies() -> None:
    """Entropy of the types that are asked for, variance of (d - 8) / 4, entropy of bins."""
    learn = ObjectiveConfig(objective=("residue", "distance", "angle"))
    batches = validation_batches(sample_chains("validation", 6, 30, 60), learn, FIT, 8)
    found = nothing_known(batches, learn)
    types, distances = [], []
    for batch in batches:
        types += batch.crops.type_BL.flatten()[batch.masked_N].tolist()
        ca_X3 = batch.crops.ca_BL3.flatten(0, 1).double().numpy()
        i, j = batch.paths_NS[:, :2].numpy().T
        distances += ((np.linalg.norm(ca_X3[i] - ca_X3[j], axis=1) - MIDDLE) / SPREAD).tolist()
    share = np.array([types.count(one) for one in set(types)]) / len(types)
    assert found["residue"] == pytest.approx(-(share * np.log(share)).sum())
    assert found["distance"] == pytest.approx(np.var(distances), rel=1e-4)
    assert 0 < found["angle"] < math.log(8) and list(found) == ["residue", "distance", "angle"]


@pytest.mark.parametrize("fusion", ["none", "serial"])
def test_measure_reads_both_folders(few, tmp_path, fusion, monkeypatch) -> None:
    """The losses are those of the weights that were saved, heads included; random weights are other ones."""
    lm = None if fusion == "none" else str(save_tiny_lm(tmp_path / "lm"))
    config = SsdmConfig(net=NET, fusion=fusion, lm=lm)
    card = SsdmCard(config, True, LEARN.objective, 0)
    for name, seed in (("model", 1), ("untrained", 0)):
        save_ssdm(tmp_path / name, card, fresh(config, LEARN, seed).learnt())
    monkeypatch.setattr(module, "folds", lambda *_: dict.fromkeys(few.ids[:6], "1.1.1") | {few.ids[7]: "2.2.2"})
    found = measure(
        Location(tmp_path / "model"),
        Location(tmp_path / "untrained"),
        None,
        None,
        LEARN,
        replace(FIT, validation_chains=3),
    )
    batches = validation_batches(few, LEARN, FIT, NET.neighbours)
    assert (found.split, found.chains) == ("test", 10)
    assert found.losses == pytest.approx(evaluate(fresh(config, LEARN, 1), batches, LEARN, NET.neighbours), rel=1e-4)
    assert set(found.nothing) == {"residue", "distance"} and set(found.partner) == {TRAINED, UNTRAINED}
    assert [(row["method"], row["chains"], row["agreement"]) for row in found.retrieval] == [
        (TRAINED, 6, 1.0), (UNTRAINED, 6, 1.0)
    ]  # fmt: skip
    shown = found.denoised
    assert shown is not None and shown.sigma == pytest.approx(1.0, abs=0.2)
    assert shown.off["noisy"].mean() == pytest.approx(shown.sigma * math.sqrt(8 / math.pi), rel=0.3)
    assert shown.off["native"].max() == 0 and shown.backbones["denoised"].shape == (len(shown.sequence), 4, 3)
    assert np.isfinite(shown.off["denoised"]).all()
    assert all(np.isfinite(backbone_L43).all() for backbone_L43 in shown.backbones.values())


def test_absent_atoms_are_not_drawn(few) -> None:
    """Of a chain of C-alpha atoms the native, noisy and denoised ones have no other."""
    alone = replace(few, backbone_R43=few.backbone_R43.copy())
    alone.backbone_R43[:, [0, 2, 3]] = MISSING
    net = fresh(SsdmConfig(net=NET), LEARN, 0)
    for backbone_L43 in denoised(net, alone, LEARN, "cpu").backbones.values():
        assert np.isnan(backbone_L43[:, [0, 2, 3]]).all() and np.isfinite(backbone_L43[:, 1]).all()


def test_intervals_are_of_the_same_losses(few, monkeypatch) -> None:
    """Chain by chain the sums are those of batches; a contrast has none of one chain."""
    net = fresh(SsdmConfig(net=NET), LEARN, 0)
    whole = evaluate(net, validation_batches(few, LEARN, FIT, NET.neighbours), LEARN, NET.neighbours)
    found = intervals(net, few, LEARN, FIT, NET.neighbours)
    assert found.keys() == {name for name in whole if not name.startswith(("contrast", "loss"))}
    assert all(low <= whole[name] <= high for name, (low, high) in found.items() if "level" not in name)
    monkeypatch.setattr(module, "_interval", lambda sums, counts: sum(sums.values()) / sum(counts.values()))
    means = intervals(net, few, LEARN, FIT, NET.neighbours)
    assert means == pytest.approx({name: whole[name] for name in means}, rel=1e-5)
    assert intervals(net, few, replace(LEARN, objective=("contrast",)), FIT, NET.neighbours) == {}


def test_without_folds_there_is_no_retrieval(few, monkeypatch) -> None:
    assert module.retrieval(few, {}, {}) == []
