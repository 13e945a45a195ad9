"""A score network as a denoiser: from noisy C-alpha atoms to where they are expected to have been.

Shape key:  L residues   3 x, y, z in Å
"""

import numpy as np
import torch

from protray.data.structure.structures import StructureChain
from protray.losses.score import coordinate_score
from protray.models.score.score_net import ScoreNet
from protray.struct.geometry import distances


class NetworkDenoiser:
    r"""x + sigma^2 g(x): the mean of all structures that the noisy one may come from (Tweedie's formula).

    Chains longer than the crops of training are scored with pairs of residues less than half a crop apart along the
    chain.  Farther ones were never or seldom seen in training, and with them each residue would sum over more partners
    than it has learnt to: at sigma = 10 Å the step is then several times too long.
    """

    def __init__(self, net: ScoreNet, crop: int, bf16: bool = False) -> None:
        """Use `net` where it lies.

        Parameters
        ----------
        net : ScoreNet
        crop : int
            Residues in the crops that it was trained on.
        bf16 : bool
            Convolve in bfloat16, which takes half the time on processors that have it.
        """
        self.net = net.eval()
        self.crop = crop
        self.bf16 = bf16
        self.device = next(net.parameters()).device

    @torch.inference_mode()
    def __call__(self, chain: StructureChain, noisy_L3: np.ndarray, sigma: float) -> np.ndarray:
        """Denoise one structure with noise of `sigma` Å; float64, shape (L, 3).

        The network is told the nearest of its noise levels.  Raises ValueError if the score is not finite.
        """
        level = self.net.config.noise.nearest(sigma)
        noisy_1L3 = torch.tensor((noisy_L3 - noisy_L3.mean(axis=0))[None], dtype=torch.float32, device=self.device)
        codes_1L = torch.tensor(chain.codes_L[None], device=self.device)
        index_1L = torch.tensor(chain.index_L[None], device=self.device)
        dist_1LL = distances(noisy_1L3)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            h_1LL = self.net(
                dist_1LL, codes_1L, index_1L, torch.tensor([level], device=self.device),
                torch.tensor([sigma], dtype=torch.float32, device=self.device),
            )  # fmt: skip
        if len(chain.codes_L) > self.crop:
            h_1LL = h_1LL * ((index_1L[:, :, None] - index_1L[:, None, :]).abs() < self.crop / 2)
        score_L3 = coordinate_score(h_1LL, noisy_1L3)[0].double().cpu().numpy()
        if not np.isfinite(score_L3).all():
            raise ValueError(f"the network's score of chain {chain.id!r} at sigma {sigma:.3g} Å is not finite")
        return noisy_L3 + sigma**2 * score_L3
