"""The score network h of Eq. 3 (Guo et al., AAAI 2022): a dilated residual network on C-alpha distance maps.

All structures of a batch have one length, so nothing is padded and every statistic is over real pairs.  Feature maps
are channels-last in memory, which convolutions on a CPU need to be fast, bfloat16 ones above all.

Shape key:  B structures   L residues   C channels   K noise levels   R Gaussians of a distance
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.models.score.score_config import ScoreNetConfig
from protray.models.score.score_layers import EPSILON, affine, dilated, level_norm
from protray.seq.alphabet import UNKNOWN

N_CODES = UNKNOWN + 1  # 20 amino acids and X
FARTHEST = 22.0  # Å: centre of the last Gaussian; beyond it only the logarithm tells distances apart
# exp(-40) is nothing beside 1, but exp(-90) is a denormal number, whose products take ten times as long
NOTHING = 40.0
CLOSEST_BOND = 3.8  # Å: between neighbours along the chain


def to_products(x: Tensor) -> Tensor:
    """In the type that convolutions compute in now: bfloat16 within autocast."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


class ConditionalNorm(nn.Module):
    """Batch norm with a scale and a shift for each noise level (Song & Ermon 2019).

    In training the statistics are those of the micro-batch; afterwards the fixed ones of `mean_C` and `var_C`, which
    training sets from batches of its own ("precise" statistics, Wu & Johnson 2021).
    """

    mean_C: Tensor
    var_C: Tensor

    def __init__(self, levels: int, channels: int, scale: float = 1.0) -> None:
        super().__init__()
        self.scale_KC = nn.Parameter(torch.full((levels, channels), scale))
        self.shift_KC = nn.Parameter(torch.zeros(levels, channels))
        self.register_buffer("mean_C", torch.zeros(channels))
        self.register_buffer("var_C", torch.ones(channels))

    def forward(self, x_BCLL: Tensor, level_B: Tensor) -> Tensor:
        scale_BC, shift_BC = self.scale_KC[level_B], self.shift_KC[level_B]
        if self.training:
            return level_norm(x_BCLL, scale_BC, shift_BC)
        gain_BC = scale_BC * (self.var_C + EPSILON).rsqrt()
        return affine(x_BCLL, gain_BC, shift_BC - gain_BC * self.mean_C)


class Block(nn.Module):
    """x + bottleneck(x): 1 x 1 down, 3 x 3 dilated, 1 x 1 up, each followed by its norm, so that all three fold."""

    def __init__(self, channels: int, bottleneck: int, dilation: int, levels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, bottleneck, 1, bias=False)
        self.down_norm = ConditionalNorm(levels, bottleneck)
        self.dilated = nn.Conv2d(bottleneck, bottleneck, 3, padding=dilation, dilation=dilation, bias=False)
        self.dilated_norm = ConditionalNorm(levels, bottleneck)
        self.up = nn.Conv2d(bottleneck, channels, 1, bias=False)
        self.up_norm = ConditionalNorm(levels, channels, scale=0.0)  # a block starts as the identity

    def forward(self, x_BCLL: Tensor, level_B: Tensor) -> Tensor:
        y_BCLL = F.relu(self.down_norm(pointwise(self.down, x_BCLL), level_B), inplace=True)  # 7 % of a step less
        y_BCLL = dilated(y_BCLL, to_products(self.dilated.weight), self.dilated.dilation[0])
        y_BCLL = F.relu(self.dilated_norm(y_BCLL, level_B), inplace=True)
        return F.relu(self.up_norm(pointwise(self.up, y_BCLL), level_B).add_(x_BCLL), inplace=True)


def pointwise(conv: nn.Conv2d, x_BCLL: Tensor) -> Tensor:
    """A 1 x 1 convolution as the matrix product it is; on one thread torch has a slower way for it."""
    return F.linear(x_BCLL.permute(0, 2, 3, 1), conv.weight[:, :, 0, 0]).permute(0, 3, 1, 2)


class PairFeatures(nn.Module):
    """Distances, residue types and places in the chain -> the first feature map.

    One 1 x 1 convolution over the concatenated inputs (1 + R + 2 x 21 + 2 x 24 channels), computed as a sum: what
    belongs to residue i or j alone is multiplied once per residue, not once per pair.
    """

    centres_R: Tensor
    rates_P: Tensor

    def __init__(self, config: ScoreNetConfig) -> None:
        super().__init__()
        self.of_distance = nn.Linear(1 + config.distances, config.channels)
        self.of_residues = nn.Linear(N_CODES + config.positional, 2 * config.channels, bias=False)
        rates_P = torch.exp(torch.arange(0, config.positional, 2) * (-math.log(10_000) / config.positional))
        self.register_buffer("rates_P", rates_P, persistent=False)
        self.register_buffer("centres_R", torch.linspace(0, FARTHEST, max(config.distances, 1)), persistent=False)
        self.distances = config.distances

    def forward(self, dist_BLL: Tensor, codes_BL: Tensor, index_BL: Tensor) -> Tensor:
        """Shape (B, L, L, C)."""
        row_BLC, column_BLC = self.residues(codes_BL, index_BL)
        return self.pairs(dist_BLL, row_BLC, column_BLC)

    def residues(self, codes_BL: Tensor, index_BL: Tensor) -> tuple[Tensor, Tensor]:
        """What each residue adds to its row and to its column, (B, L, C) both."""
        angle_BLP = index_BL[:, :, None] * self.rates_P
        types_BLA = F.one_hot(codes_BL.long().clamp(max=UNKNOWN), N_CODES)
        both = self.of_residues(torch.cat([types_BLA, angle_BLP.sin(), angle_BLP.cos()], dim=-1))
        return both.chunk(2, dim=-1)  # type: ignore[return-value]

    def pairs(self, dist_BIJ: Tensor, row_BIC: Tensor, column_BJC: Tensor) -> Tensor:
        """The part (or all) of the map that has these rows and columns, (B, I, J, C)."""
        log_BIJ1 = torch.log(dist_BIJ[..., None] / CLOSEST_BOND + 0.1)
        inputs = [log_BIJ1]
        if self.distances:
            width = FARTHEST / (self.distances - 1) if self.distances > 1 else FARTHEST
            away_BIJR = 0.5 * ((dist_BIJ[..., None] - self.centres_R) / width).square()
            inputs.append(torch.exp(-away_BIJR.clamp(max=NOTHING)))
        return self.of_distance(torch.cat(inputs, dim=-1)) + row_BIC[:, :, None] + column_BJC[:, None]


class ScoreNet(nn.Module):
    """h(D~, s, sigma_k), Eq. 3, in 1/Å^2: distances, residues, noise -> derivatives of log p by squared distances."""

    def __init__(self, config: ScoreNetConfig) -> None:
        super().__init__()
        self.config = config
        levels = config.noise.levels
        self.features = PairFeatures(config)
        self.blocks = nn.ModuleList(
            Block(config.channels, config.bottleneck, config.dilations[n % len(config.dilations)], levels)
            for n in range(config.blocks)
        )
        self.last = nn.Linear(config.channels, 1)
        nn.init.zeros_(self.last.weight)  # the first score is 0, whose loss is known: 3 L / 2
        nn.init.zeros_(self.last.bias)

    def maps(self, dist_BLL: Tensor, codes_BL: Tensor, index_BL: Tensor, level_B: Tensor) -> Tensor:
        """The last feature map, (B, C, L, L): what the embeddings are."""
        with torch.autocast(dist_BLL.device.type, enabled=False):  # bfloat16 knows 40 Å to 0.2 Å only
            x_BLLC = F.relu(self.features(dist_BLL, codes_BL, index_BL))
        x_BCLL = to_products(x_BLLC).permute(0, 3, 1, 2)
        for block in self.blocks:
            x_BCLL = block(x_BCLL, level_B)
        return x_BCLL

    def forward(self, dist_BLL: Tensor, codes_BL: Tensor, index_BL: Tensor, level_B: Tensor, sigma_B: Tensor) -> Tensor:
        """h_ij = f_ij / (sigma (d_ij + 1 Å)), shape (B, L, L).

        The h of least norm spans four orders of magnitude over the noise levels, h sigma d stays within 0.03 to 0.08:
        what the network gives, f, should be of one size.  The paper does not say; f / sigma alone learns much slower.
        """
        x_BCLL = self.maps(dist_BLL, codes_BL, index_BL, level_B)
        with torch.autocast(x_BCLL.device.type, enabled=False):
            f_BLL = self.last(x_BCLL.permute(0, 2, 3, 1).to(self.last.weight.dtype))[..., 0]
        return f_BLL / (sigma_B[:, None, None] * (dist_BLL + 1))
