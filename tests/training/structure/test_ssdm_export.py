"""A joint encoder in a folder: read again it answers the same, and a folder that is damaged says so in one line."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ssdm_here import atom_chain
from tiny_model import save_tiny_lm

from protray.data.structure.atom_batches import collate
from protray.models.joint.fusion_config import FusionConfig
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.training.structure.ssdm import Pretrained, fresh
from protray.training.structure.ssdm_config import ObjectiveConfig
from protray.training.structure.ssdm_export import (
    HEADS,
    LANGUAGE_MODEL,
    SETTINGS,
    WEIGHTS,
    SsdmCard,
    is_ssdm,
    load_card,
    load_ssdm,
    save_ssdm,
)

NET = FrameAttentionConfig(channels=8, heads=2, pair=4, layers=1, neighbours=6)
LEARN = ObjectiveConfig()


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> Path:
    return save_tiny_lm(tmp_path_factory.mktemp("lm") / "lm")


def made(fusion: str, lm: Path, ratio: float = 0.1) -> tuple[SsdmCard, Pretrained]:
    """A joint encoder all of whose weights have moved."""
    name = None if fusion == "none" else str(lm)
    fuse = FusionConfig(channels=8, heads=2)
    config = SsdmConfig(net=NET, fusion=fusion, fuse=fuse, lm=name, lm_lr_ratio=ratio)  # type: ignore[arg-type]
    net = fresh(config, LEARN, 0).eval()
    with torch.no_grad():
        for _, weight in net.named_parameters():
            weight.add_(0.01 * torch.randn_like(weight) * weight.requires_grad)
    return SsdmCard(config, True, LEARN.objective, 0), net


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["none", "serial", "parallel", "cross"])
def test_a_folder_answers_as_the_network_did(tmp_path, lm, fusion) -> None:
    card, net = made(fusion, lm)
    save_ssdm(tmp_path / "model", card, net.learnt())
    files = {WEIGHTS, HEADS, SETTINGS} | (set() if fusion == "none" else {LANGUAGE_MODEL})
    assert {file.name for file in (tmp_path / "model").iterdir()} == files
    moved = Path(shutil.move(tmp_path / "model", tmp_path / "elsewhere"))
    found, again = load_ssdm(moved)
    assert found == card and is_ssdm(moved) and not again.training
    batch = collate([atom_chain(12, seed=1), atom_chain(7, seed=2)])
    assert torch.equal(again(batch), net.model(batch))


@torch.no_grad()
def test_a_frozen_language_model_is_written_as_it_was(tmp_path, lm) -> None:
    card, net = made("serial", lm, ratio=0.0)
    assert not any(name.startswith("model.lm.") for name in net.learnt())
    save_ssdm(tmp_path / "model", card, net.learnt())
    batch = collate([atom_chain(9)])
    assert torch.equal(load_ssdm(tmp_path / "model")[1](batch), net.model(batch))


def test_a_folder_of_something_else_is_named(tmp_path) -> None:
    assert not is_ssdm(tmp_path)
    with pytest.raises(ValueError, match=f"holds no {SETTINGS}; give the folder `model` in the --out of jobs/ssdm.py"):
        load_ssdm(tmp_path)


def settings(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / SETTINGS).read_text())
        change(content)
        (folder / SETTINGS).write_text(json.dumps(content))

    return damage


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / SETTINGS).write_text("{"), f"{SETTINGS} is damaged"),
    (settings(lambda content: content.pop("config")), f"{SETTINGS} is damaged .KeyError: 'config'"),
    (settings(lambda content: content["config"].update(colour=1)), f"{SETTINGS} is damaged .TypeError: .*colour"),
    (
        settings(lambda content: content["config"]["net"].update(heads=3)),
        f"{SETTINGS} is damaged .ValueError: channels",
    ),
    (settings(lambda content: content["config"]["net"].update(channels=16)), f"{WEIGHTS} has weights of another shape"),
    (settings(lambda content: content["config"].update(fusion="none", lm=None)), f"{WEIGHTS} has weights that its"),
    (lambda folder: (folder / WEIGHTS).unlink(), f"{WEIGHTS} is not there"),
    (lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1]), f"{WEIGHTS} is cut off: "),
    (lambda folder: shutil.rmtree(folder / LANGUAGE_MODEL), f"has no {LANGUAGE_MODEL}, which its fusion reads"),
    (lambda folder: (folder / LANGUAGE_MODEL / "model.safetensors").write_bytes(b""), "model.safetensors is empty"),
]


@pytest.mark.parametrize(("damage", "says"), DAMAGES, ids=[says[:30] for _, says in DAMAGES])
def test_a_damaged_folder_is_refused_in_one_line(tmp_path, lm, damage, says) -> None:
    card, net = made("serial", lm)
    save_ssdm(tmp_path / "model", card, net.learnt())
    damage(tmp_path / "model")
    with pytest.raises(ValueError, match=says) as error:
        load_ssdm(tmp_path / "model")
    assert "\n" not in str(error.value) and len(str(error.value)) - len(str(tmp_path)) < 300


def test_a_card_is_read_alone(tmp_path, lm) -> None:
    card, net = made("none", lm)
    card = replace(card, side_chains=False, objectives=("contrast",), seed=7)
    save_ssdm(tmp_path / "model", card, net.learnt())
    (tmp_path / "model" / WEIGHTS).unlink()
    assert load_card(tmp_path / "model") == card
