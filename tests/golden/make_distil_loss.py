"""Write distil_loss.json: the losses of 20 fixed-seed steps of the Distil stage.

    cd tests && python golden/make_distil_loss.py

Run it again only when a change is meant to alter the numbers, and say why in the commit.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402
from tiny import FEATURES, tiny_proteins, tiny_stages  # noqa: E402

from protray.training.secondary.session import train_stage  # noqa: E402
from protray.training.secondary.stages import build  # noqa: E402
from protray.training.world import World  # noqa: E402

GOLDEN = Path(__file__).with_name("distil_loss.json")
STEPS = 20


def losses() -> dict[str, list[float]]:
    """Loss and its parts at each step; one batch of all seven training proteins is one epoch."""
    stages = tiny_stages(epochs=STEPS, per_batch=7, learning_rate=0.01)
    torch.manual_seed(0)
    teacher = build(stages["teacher"], {}).state_dict()
    sharp = {name: 4 * weight for name, weight in teacher.items()}  # untrained, it is flat: every hinge would be active
    step = build(stages["protray"], {"teacher": sharp})
    _, history = train_stage(
        stages["protray"], step, tiny_proteins(), FEATURES, lambda metrics, state: None, None, World()
    )
    names = sorted(name for name in history[0] if name.startswith("train/") and name != "train/world_size")
    return {name: [metrics[name] for metrics in history] for name in names}


if __name__ == "__main__":
    versions = {"torch": torch.__version__, "seed": "0"}
    GOLDEN.write_text(json.dumps({"made_with": versions, "losses": losses()}, indent=1) + "\n")
