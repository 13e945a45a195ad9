"""Write score_loss.json: the losses of 20 fixed-seed steps of the score network, in float32.

    cd tests && python golden/make_score_loss.py

Run it again only when a change is meant to alter the numbers, and say why in the commit.
"""

import json
from pathlib import Path

import torch

from protray.data.structure.structures import read_structures
from protray.models.score.score_config import ScoreNetConfig
from protray.training.structure.score_net import fit
from protray.training.structure.score_steps import ScoreFitConfig, calibration_batches, steps, validation_batches

GOLDEN = Path(__file__).with_name("score_loss.json")
STEPS = 20
NET = ScoreNetConfig(blocks=2, channels=16, bottleneck=16, dilations=(1, 2), distances=8)
FIT = ScoreFitConfig(batch=8, micro_batch=4, crop=16, warmup=5, ema=0.9, validate_every=1, bf16=False)


def losses() -> dict[str, list[float]]:
    """Loss, norm of the gradient and validation loss at each step."""
    chains, held_out = (read_structures(split=split) for split in ("train", "validation"))
    state = fit(
        NET, FIT, STEPS, lambda step: steps(chains, FIT, NET.noise, step),
        calibration_batches(chains, FIT, NET.noise)[:2], validation_batches(held_out, FIT, NET.noise)[:4],
        lambda metrics, state: None,
    )  # fmt: skip
    names = ("train/loss", "train/gradient_norm", "validation/loss")
    return {name: [point[name] for point in state["position"]["history"]] for name in names}


if __name__ == "__main__":
    versions = {"torch": torch.__version__, "seed": "0"}
    GOLDEN.write_text(json.dumps({"made_with": versions, "losses": losses()}, indent=1) + "\n")
