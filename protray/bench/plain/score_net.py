"""The score network and its loss as one would write them first: what ours are timed, and tested, against.

float32, maps contiguous in memory, all inputs of a pair in one tensor, Eq. 4 by differences of coordinates.

Shape key:  B structures   L residues   C channels   K noise levels
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.models.score.score_net import CLOSEST_BOND, FARTHEST, N_CODES, Block, ConditionalNorm, ScoreNet
from protray.pipelines.structure.score_net import PAPER_NET

NET = PAPER_NET  # of all that is timed


class PlainNorm(nn.Module):
    """Batch norm with a scale and a shift for each noise level."""

    def __init__(self, norm: ConditionalNorm) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(len(norm.mean_C), affine=False)
        self.norm.running_mean, self.norm.running_var = norm.mean_C.clone(), norm.var_C.clone()
        self.scale = nn.Embedding.from_pretrained(norm.scale_KC.detach().clone(), freeze=False)
        self.shift = nn.Embedding.from_pretrained(norm.shift_KC.detach().clone(), freeze=False)

    def forward(self, x_BCLL: Tensor, level_B: Tensor) -> Tensor:
        return self.norm(x_BCLL) * self.scale(level_B)[:, :, None, None] + self.shift(level_B)[:, :, None, None]


class PlainBlock(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        self.down, self.dilated, self.up = _copy(block.down), _copy(block.dilated), _copy(block.up)
        self.down_norm, self.dilated_norm = PlainNorm(block.down_norm), PlainNorm(block.dilated_norm)
        self.up_norm = PlainNorm(block.up_norm)

    def forward(self, x_BCLL: Tensor, level_B: Tensor) -> Tensor:
        y_BCLL = F.relu(self.down_norm(self.down(x_BCLL), level_B))
        y_BCLL = F.relu(self.dilated_norm(self.dilated(y_BCLL), level_B))
        return F.relu(x_BCLL + self.up_norm(self.up(y_BCLL), level_B))


class PlainScoreNet(nn.Module):
    """A network with the weights of `net`; its forward pass gives the loss of each structure, Eq. 5."""

    def __init__(self, net: ScoreNet) -> None:
        super().__init__()
        self.config, features = net.config, net.features
        row, column = features.of_residues.weight.detach().chunk(2)
        weight = torch.cat([features.of_distance.weight.detach(), row, column], dim=1)[:, :, None, None].clone()
        self.first = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
        self.first.weight, self.first.bias = nn.Parameter(weight), nn.Parameter(features.of_distance.bias.clone())
        self.blocks = nn.ModuleList(PlainBlock(block) for block in net.blocks)  # type: ignore[arg-type]
        self.last = nn.Conv2d(self.config.channels, 1, 1)
        self.last.weight = nn.Parameter(net.last.weight.detach()[:, :, None, None].clone())
        self.last.bias = nn.Parameter(net.last.bias.detach().clone())

    def inputs(self, dist_BLL: Tensor, codes_BL: Tensor, index_BL: Tensor) -> Tensor:
        """All inputs of a pair: its distance, and residue type and place in the chain of i and j."""
        length, places = dist_BLL.shape[1], torch.arange(0, self.config.positional, 2)
        angle_BLP = index_BL[:, :, None] / 10_000 ** (places / self.config.positional)
        residues_BLA = torch.cat([F.one_hot(codes_BL.long(), N_CODES), angle_BLP.sin(), angle_BLP.cos()], dim=-1)
        row_BLLA = residues_BLA[:, :, None].expand(-1, -1, length, -1)
        parts = [torch.log(dist_BLL / CLOSEST_BOND + 0.1)[..., None]]
        if self.config.distances:
            centres_R = torch.linspace(0, FARTHEST, self.config.distances)
            parts.append(torch.exp(-0.5 * ((dist_BLL[..., None] - centres_R) / (centres_R[1] - centres_R[0])) ** 2))
        return torch.cat([*parts, row_BLLA, row_BLLA.transpose(1, 2)], dim=-1).permute(0, 3, 1, 2).contiguous()

    def maps(self, dist_BLL: Tensor, codes_BL: Tensor, index_BL: Tensor, level_B: Tensor) -> Tensor:
        """The last feature map, (B, C, L, L)."""
        x_BCLL = F.relu(self.first(self.inputs(dist_BLL, codes_BL, index_BL)))
        for block in self.blocks:
            x_BCLL = block(x_BCLL, level_B)
        return x_BCLL

    def forward(
        self, codes_BL: Tensor, index_BL: Tensor, ca_BL3: Tensor, noise_BL3: Tensor, level_B: Tensor, sigma_B: Tensor
    ) -> Tensor:
        sigma_B11 = sigma_B[:, None, None]
        noisy_BL3 = ca_BL3 + sigma_B11 * noise_BL3
        difference_BLL3 = noisy_BL3[:, :, None] - noisy_BL3[:, None]
        dist_BLL = difference_BLL3.square().sum(dim=-1).sqrt()
        f_BLL = self.last(self.maps(dist_BLL, codes_BL, index_BL, level_B))[:, 0]
        h_BLL = f_BLL / (sigma_B11 * (dist_BLL + 1))
        score_BL3 = (2 * (h_BLL + h_BLL.transpose(1, 2))[..., None] * difference_BLL3).sum(dim=2)
        true_BL3 = (ca_BL3 - noisy_BL3) / sigma_B11**2
        return sigma_B**2 / 2 * ((score_BL3 - true_BL3) ** 2).sum(dim=(1, 2))


def _copy(conv: nn.Conv2d) -> nn.Conv2d:
    """The same convolution with weights of its own, contiguous in memory."""
    same = nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, padding=conv.padding, dilation=conv.dilation, bias=False  # type: ignore[arg-type]
    )  # fmt: skip
    same.weight = nn.Parameter(conv.weight.detach().clone(memory_format=torch.contiguous_format))
    return same
