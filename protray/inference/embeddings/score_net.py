"""Embeddings of structures: the last feature map of a score network, of chains of any length.

The map of a chain is never in memory whole.  Rows flow through the blocks from the top: a block of dilation d has row i
ready as soon as it has seen row i + d, so it holds back a few rows, and what it gives is what it would give for the
whole map.  Memory grows with L x (the sum of all dilations), not with L x L, and nothing is computed twice.

Shape key:  L residues   I rows (residues i) in a strip   C channels   K noise levels
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.data.location import Location
from protray.data.structure.structures import StructureChain
from protray.models.score.score_net import Block, ConditionalNorm, ScoreNet
from protray.training.structure.score_export import load_score_net

# Å.  The paper does not say which level the network is told.  Told the least noise, it looks at bonds alone: nearest
# neighbours share the CATH topology less often (protray/pipelines/structure/README.md).
NOISE = 1.0
STRIP_PAIRS = 16_384  # in a strip on a CPU: 4 MB of a map of 64 channels, which stays in its cache
STRIP_PAIRS_GPU = 1 << 18  # 64 MB
SLACK = 3  # strips that a window has room for, beyond what it holds back
FLOAT16_MAX = 65_504.0
EPSILON = 1e-5  # of F.batch_norm
SMALLEST = 1.0  # Å, from the middle to the farthest C-alpha atom; two bonded residues have 1.4 (cis) or 1.9 (trans)


class Embedder:
    """A score network at one noise level, with its norms folded into its convolutions; always float32."""

    def __init__(self, net: ScoreNet, noise: float = NOISE, device: str = "cpu") -> None:
        """The network is told the noise level nearest to `noise` Å; the structures are read as they are."""
        level = net.config.noise.nearest(noise)
        self.device = torch.device(device)
        self.channels = net.config.channels
        self.features = net.features.to(self.device)
        self.blocks = [_Folded(block, level, self.device) for block in net.blocks]  # type: ignore[arg-type]
        self.strip_pairs = STRIP_PAIRS if self.device.type == "cpu" else STRIP_PAIRS_GPU

    @classmethod
    def open(cls, folder: Path | Location, noise: float = NOISE, device: str = "cpu") -> "Embedder":
        """Read the folder ``model`` of jobs/score_net.py, at a path or an address; ValueError if it is none."""
        return cls(load_score_net(folder), noise, device)

    @torch.no_grad()
    def rows(self, chain: StructureChain, strip: int | None = None) -> Iterator[Tensor]:
        """Yield the embedding E of all pairs of residues from the top, as strips of shape (I, L, C).

        Parameters
        ----------
        chain : StructureChain
        strip : int, optional
            Rows computed at once, which changes the result by no more than rounding.  Default: what suits the cache.

        Raises
        ------
        ValueError
            If coordinates are missing or not finite, or all residues lie at one point.
        """
        check_chain(chain)
        length = len(chain.codes_L)
        strip = strip or max(1, self.strip_pairs // length)
        streams = [_Stream(block, length, min(strip, length)) for block in self.blocks]
        for x_ILC in self._first(chain, strip):
            for stream in streams:
                x_ILC = stream.push(x_ILC)
            if len(x_ILC):
                yield x_ILC.clone()
        for n, stream in enumerate(streams):  # what is held back for rows that do not come
            for x_ILC in stream.finish().split(strip):  # a block below of a smaller dilation has room for no more
                for later in streams[n + 1 :]:
                    x_ILC = later.push(x_ILC)
                if len(x_ILC):
                    yield x_ILC.clone()

    def _first(self, chain: StructureChain, strip: int) -> Iterator[Tensor]:
        """Strips of the first feature map."""
        ca_L3 = chain.ca_L3.astype(np.float64)
        ca_L3 = torch.tensor(ca_L3 - ca_L3.mean(axis=0), dtype=torch.float32, device=self.device)
        codes_L, index_L = torch.tensor(chain.codes_L)[None], torch.tensor(chain.index_L)[None]
        row_1LC, column_1LC = self.features.residues(codes_L.to(self.device), index_L.to(self.device))
        for start in range(0, len(ca_L3), strip):
            rows = slice(start, start + strip)
            dist_1IL = torch.cdist(ca_L3[None, rows], ca_L3[None], compute_mode="donot_use_mm_for_euclid_dist")
            yield F.relu(self.features.pairs(dist_1IL, row_1LC[:, rows], column_1LC), inplace=True)[0]

    def pair(self, chain: StructureChain) -> Iterator[np.ndarray]:
        """E, strip by strip: float16, shapes (I, L, C)."""
        for x_ILC in self.rows(chain):
            least, greatest = x_ILC.aminmax()
            _check_finite(bool((least >= -FLOAT16_MAX) & (greatest <= FLOAT16_MAX)), chain.id, "float16")
            yield x_ILC.half().cpu().numpy()

    def residue(self, chain: StructureChain) -> np.ndarray:
        """Mean over j of (E_ij + E_ji) / 2, float32, shape (L, C)."""
        of_rows, column_LC = [], torch.zeros(len(chain.codes_L), self.channels, dtype=torch.float64)
        for x_ILC in self.rows(chain):
            of_rows.append(x_ILC.mean(dim=1).cpu())
            column_LC += x_ILC.sum(dim=0).cpu()
        mean_LC = (torch.cat(of_rows) + column_LC / len(column_LC)) / 2
        _check_finite(bool(mean_LC.isfinite().all()), chain.id, "float32")
        return mean_LC.float().numpy()

    def protein(self, chain: StructureChain) -> np.ndarray:
        """Mean over i and j of E_ij, float32, shape (C,)."""
        sum_C = torch.zeros(self.channels, dtype=torch.float64)
        for x_ILC in self.rows(chain):
            sum_C += x_ILC.mean(dim=1).sum(dim=0).cpu()
        _check_finite(bool(sum_C.isfinite().all()), chain.id, "float32")
        return (sum_C / len(chain.codes_L)).float().numpy()


def check_chain(chain: StructureChain) -> None:
    """Raise ValueError for coordinates that are no structure."""
    missing = np.flatnonzero(~np.isfinite(chain.ca_L3).all(axis=1))
    length = len(chain.codes_L)
    if not length:
        raise ValueError(f"chain {chain.id!r} has no residues")
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {length} residues of chain {chain.id!r} have no finite C-alpha coordinates, "
            f"first: residue {missing[0] + 1}; leave such residues out"
        )
    extent = np.linalg.norm(chain.ca_L3 - chain.ca_L3.mean(axis=0, dtype=np.float64), axis=1).max()
    if length > 1 and extent < SMALLEST:
        raise ValueError(
            f"all {length} C-alpha atoms of chain {chain.id!r} lie within {extent:.2g} Å of one point; "
            f"no chain is smaller than {SMALLEST:g} Å"
        )


class _Folded:
    """The three convolutions of a block with its norms at one noise level in them."""

    def __init__(self, block: Block, level: int, device: torch.device) -> None:
        down, self.down_bias = _fold(block.down, block.down_norm, level, device)
        dilated, self.dilated_bias = _fold(block.dilated, block.dilated_norm, level, device)
        up, self.up_bias = _fold(block.up, block.up_norm, level, device)
        self.down, self.up = down[:, :, 0, 0].T, up[:, :, 0, 0].T
        self.dilated = dilated.contiguous(memory_format=torch.channels_last)
        self.dilation = int(block.dilated.dilation[0])


def _fold(conv: nn.Conv2d, norm: ConditionalNorm, level: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Weight and bias of norm(conv(x)) as one convolution."""
    with torch.no_grad():
        factor_C = norm.scale_KC[level].double() / (norm.var_C.double() + EPSILON).sqrt()
        weight = conv.weight.double() * factor_C[:, None, None, None]
        bias_C = norm.shift_KC[level].double() - norm.mean_C.double() * factor_C
    return weight.float().to(device), bias_C.float().to(device)


class _Window:
    """Rows of a map on their way through memory that is used again and again: added below, dropped above."""

    def __init__(self, like: Tensor, rows: int, length: int) -> None:
        self.memory = like.new_empty(rows, length, like.shape[0])
        self.start = self.stop = 0

    def rows(self, count: int | None = None) -> Tensor:
        return self.memory[self.start : self.stop if count is None else self.start + count]

    def add(self, count: int) -> Tensor:
        """Make room for `count` rows; gives them, to be written."""
        if self.stop + count > len(self.memory):
            held = self.rows().clone()
            self.start, self.stop = 0, len(held)
            self.memory[: self.stop] = held
        self.stop += count
        return self.memory[self.stop - count : self.stop]


class _Stream:
    """One block on its way down a map: takes rows, gives the rows above whose lower neighbours it has seen."""

    def __init__(self, block: _Folded, length: int, strip: int) -> None:
        self.block, d = block, block.dilation
        room = SLACK * max(strip, d)  # a window moves up once in so many strips
        self.x = _Window(block.up_bias, d + room, length)
        self.y = _Window(block.down_bias, 2 * d + room, length)
        self.y.add(d).zero_()  # as a convolution pads

    def push(self, x_ILC: Tensor) -> Tensor:
        """Take the next rows; give those that are ready, maybe none, which are good until the next push."""
        if not len(x_ILC):
            return x_ILC
        block = self.block
        torch.add(x_ILC, block.up_bias, out=self.x.add(len(x_ILC)))
        y_ILC = self.y.add(len(x_ILC))
        torch.addmm(block.down_bias, x_ILC.flatten(0, 1), block.down, out=y_ILC.flatten(0, 1))
        F.relu_(y_ILC)
        return self._ready()

    def finish(self) -> Tensor:
        """Give the rows that are left, whose lower neighbours are none."""
        self.y.add(self.block.dilation).zero_()
        return self._ready()

    def _ready(self) -> Tensor:
        block, d = self.block, self.block.dilation
        count = max(0, self.y.stop - self.y.start - 2 * d)
        x_ILC = self.x.rows(count)
        if count:
            maps_1CIL = self.y.rows().permute(2, 0, 1)[None]
            maps_1CIL = F.conv2d(maps_1CIL, block.dilated, block.dilated_bias, padding=(0, d), dilation=d)
            y_ILC = F.relu_(maps_1CIL)[0].permute(1, 2, 0)
            x_ILC.flatten(0, 1).addmm_(y_ILC.flatten(0, 1), block.up)
            F.relu_(x_ILC)
        self.x.start += count
        self.y.start += count
        return x_ILC


def _check_finite(finite: bool, id: str, dtype: str) -> None:
    if not finite:
        raise ValueError(f"the embedding of chain {id!r} is not finite in {dtype}; are its coordinates in Å?")
