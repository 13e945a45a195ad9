"""Write ssdm_loss.json: the losses of 20 fixed-seed steps of SSDM's encoder on four objectives, in float32.

    cd tests && python golden/make_ssdm_loss.py

Run it again only when a change is meant to alter the numbers, and say why in the commit.
"""

import json
from pathlib import Path

import numpy as np
import torch

from protray.data.structure.atoms import AtomStructures, read_atoms
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.training.structure.ssdm import fit, validation_batches
from protray.training.structure.ssdm_config import ObjectiveConfig, SsdmFitConfig

GOLDEN = Path(__file__).with_name("ssdm_loss.json")
STEPS = 20
NET = SsdmConfig(net=FrameAttentionConfig(channels=16, heads=2, pair=8, layers=2, neighbours=8))
LEARN = ObjectiveConfig(objective=("residue", "distance", "contrast", "siamdiff"), contrast_crop=16)
FIT = SsdmFitConfig(batch=8, micro_batch=4, crop=24, warmup=5, learning_rate=3e-3, ema=0.9, validate_every=1)


def chains(split: str, count: int) -> AtomStructures:
    """The first that are long enough for the contrast; some have side chains."""
    whole = read_atoms(split=split)
    return whole.select(np.flatnonzero(whole.lengths >= LEARN.shortest_chain())[:count])


def losses() -> dict[str, list[float]]:
    """Loss of each objective, norm of the gradient and validation loss at each step."""
    held_out = validation_batches(chains("validation", 8), LEARN, FIT, NET.net.neighbours)
    state = fit(NET, LEARN, FIT, STEPS, chains("train", 40), held_out, lambda metrics, state: None)
    names = [f"train/{term}" for term in LEARN.terms()] + ["train/gradient_norm", "validation/loss"]
    return {name: [point[name] for point in state["position"]["history"]] for name in names}


if __name__ == "__main__":
    versions = {"torch": torch.__version__, "seed": "0"}
    GOLDEN.write_text(json.dumps({"made_with": versions, "losses": losses()}, indent=1) + "\n")
