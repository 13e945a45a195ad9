"""Small untrained score networks whose norms do something, and random chains."""

from pathlib import Path

import numpy as np
import torch

from protray.data.structure.structures import StructureChain
from protray.models.score.score_config import ScoreNetConfig
from protray.models.score.score_net import ConditionalNorm, ScoreNet
from protray.struct.noise import NoiseConfig
from protray.training.structure.score_export import save_score_net

CONFIG = ScoreNetConfig(
    blocks=3, channels=8, bottleneck=6, dilations=(1, 3, 2), positional=4, distances=5, noise=NoiseConfig(levels=4)
)


def random_net(config: ScoreNetConfig = CONFIG, seed: int = 0) -> ScoreNet:
    """Fresh networks have blocks that are the identity, and statistics of 0 and 1: here all are random."""
    torch.manual_seed(seed)
    net = ScoreNet(config)
    with torch.no_grad():
        for norm in net.modules():
            if isinstance(norm, ConditionalNorm):
                norm.scale_KC.normal_(1.0, 0.3)
                norm.shift_KC.normal_(0.0, 0.5)
                norm.mean_C.normal_(0.0, 0.5)
                norm.var_C.uniform_(0.5, 2.0)
    return net.eval()


def save_random_net(folder: Path, config: ScoreNetConfig = CONFIG, seed: int = 0) -> Path:
    save_score_net(folder, config, random_net(config, seed).state_dict())
    return folder


def random_chain(length: int, seed: int = 0, id: str = "c") -> StructureChain:
    """A walk of steps of 3.8 Å, with a break in the middle."""
    rng = np.random.default_rng(seed)
    steps_L3 = rng.standard_normal((length, 3))
    ca_L3 = np.cumsum(3.8 * steps_L3 / np.linalg.norm(steps_L3, axis=1, keepdims=True), axis=0)
    index_L = np.arange(length, dtype=np.int32)
    index_L[length // 2 :] += 4
    codes_L = rng.integers(0, 21, length).astype(np.uint8)
    return StructureChain(id, codes_L, index_L, ca_L3.astype(np.float32))


def ca_alone(ca_L3: np.ndarray) -> np.ndarray:
    """A backbone of which all atoms but C-alpha are missing, shape (L, 4, 3)."""
    backbone_L43 = np.full((len(ca_L3), 4, 3), np.nan, np.float32)
    backbone_L43[:, 1] = ca_L3
    return backbone_L43
