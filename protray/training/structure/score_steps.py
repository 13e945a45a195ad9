"""Which crops train together, with which noise.  Light: `--help` reads the settings and needs no torch.

All of it follows from (seed, step) and (seed, epoch, chain) alone, so any number of workers sees the same batches, and
a run that was stopped goes on in the middle of an epoch.

Shape key:  B crops of one length in a micro-batch   L residues   3 x, y, z in Å
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from protray.data.structure.structures import Structures
from protray.seq.keyed import generator, key
from protray.struct.noise import NoiseConfig, draw_levels
from protray.training.micro_batches import SharedSteps

MIN_RESIDUES = 8  # of a chain that trains: two of a shorter one's three dimensions are rigid motions
CALIBRATION = 32  # micro-batches that the statistics of the norms are averaged over


@dataclass(frozen=True, kw_only=True)
class ScoreFitConfig(SharedSteps):
    """How to train; a step is global, whatever the number of workers."""

    epochs: int = 60
    """Times that every training chain is seen; the paper's 50 are 92,000 steps, of 58,868 chains."""
    batch: int = 32
    """Crops in a step."""
    micro_batch: int = 8
    """Crops that share the statistics of their norms; the share of a worker is a whole number of these."""
    crop: int = 32
    """Neighbouring residues of a chain that one step sees; another part of it in every epoch."""
    split: float = 0.5
    """Share of the crops that are two pieces of a chain, each half as long: contacts far along the chain."""
    learning_rate: float = 3e-3
    """Of Adam, at its peak."""
    warmup: int = 50
    constant: bool = False
    """Keep the learning rate after the warm-up, as the paper does, in place of half a cosine down to 0."""
    ema: float = 0.999
    """Decay of the running mean of the weights, which is validated and kept; 0 keeps the weights as they are."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    bf16: bool = True
    """Convolutions in bfloat16 where the processor or GPU has it; weights, distances and losses stay in float32."""
    seed: int = 0
    validate_every: int = 100
    """Steps between points of the curve, and between checkpoints."""
    validation_chains: int = 500
    """Validation chains that each point of the curve scores; fewer where there are no more."""
    validation_levels: int = 8
    """Noise levels that each of them is seen with, more where there are few chains: together they see every level."""

    def __post_init__(self) -> None:
        self.check_step("epochs", "validate_every", "validation_chains", "validation_levels")
        if self.crop < MIN_RESIDUES:
            raise ValueError(f"crop must be at least {MIN_RESIDUES} residues, got {self.crop}")
        if not 0 <= self.split <= 1:
            raise ValueError(f"split is a share and must lie in [0, 1], got {self.split}")
        if not 0 <= self.ema < 1 or self.warmup < 0:
            raise ValueError(f"ema must lie in [0, 1) and warmup be at least 0, got {self.ema} and {self.warmup}")

    def steps(self, chains: int) -> int:
        """Steps of a training on so many chains, whatever their number: at least one."""
        return max(1, round(self.epochs * chains / self.batch))


@dataclass(frozen=True)
class Crops:
    """A micro-batch: crops of one length, the noise to add (standard normal), and how much of it."""

    ids: tuple[str, ...]
    codes_BL: np.ndarray  # uint8
    index_BL: np.ndarray  # int32
    ca_BL3: np.ndarray  # float32, Å
    noise_BL3: np.ndarray  # float32
    level_B: np.ndarray  # int64, 0-based
    sigma_B: np.ndarray  # float32, Å


@dataclass(frozen=True)
class Share:
    """One worker's part of a step."""

    batches: tuple[Crops, ...]
    residues: int  # of the whole step, on all workers


def trainable(lengths: np.ndarray) -> np.ndarray:
    """Rows of the chains that are long enough to train on."""
    return np.flatnonzero(lengths >= MIN_RESIDUES)


def steps(
    chains: Structures, config: ScoreFitConfig, noise: NoiseConfig, step: int = 0, rank: int = 0, world: int = 1
) -> Iterator[Share]:
    """Yield this rank's share of every step from number `step` on, for ever."""
    rows = trainable(chains.lengths)
    if not len(rows):
        raise ValueError(
            f"no chain of {len(chains)} has at least {MIN_RESIDUES} residues; there is nothing to train on"
        )
    lengths = np.minimum(chains.lengths, config.crop)
    orders: dict[int, np.ndarray] = {}  # of the epochs that this step takes chains from
    while True:
        drawn = [divmod(place, len(rows)) for place in range(step * config.batch, (step + 1) * config.batch)]
        epochs = {epoch for epoch, _ in drawn}
        orders = {
            epoch: orders[epoch] if epoch in orders else generator(config.seed, "order", epoch).permutation(rows)
            for epoch in epochs
        }
        asked = [(int(orders[epoch][place]), epoch) for epoch, place in drawn]
        asked.sort(key=lambda pair: lengths[pair[0]])  # so that the few short chains do not shorten every micro-batch
        yield _share(chains, config, noise, asked, (config.seed, "levels", step), rank, world)
        step += 1


def _share(
    chains: Structures, config: ScoreFitConfig, noise: NoiseConfig, asked: list[tuple[int, int]],
    levels_key: tuple, rank: int, world: int,
) -> Share:  # fmt: skip
    size = config.micro_batch
    level_S, sigma_S = draw_levels(noise, len(asked), len(asked) // size, generator(*levels_key))
    mine, residues = [], 0
    for group, start in enumerate(range(0, len(asked), size)):
        part = slice(start, start + size)
        crop = min(int(chains.lengths[row]) for row, _ in asked[part])
        residues += size * min(crop, config.crop)
        if group % world == rank:
            draws = [(row, (config.seed, "crop", epoch, chains.ids[row])) for row, epoch in asked[part]]
            mine.append(crops(chains, draws, min(crop, config.crop), level_S[part], sigma_S[part], config.split))
    return Share(tuple(mine), residues)


def crops(
    chains: Structures, draws: list[tuple[int, tuple]], length: int, level_B: np.ndarray, sigma_B: np.ndarray,
    split: float = 0.0,
) -> Crops:  # fmt: skip
    """Cut `length` residues out of each chain and draw noise; `draws` are (row, what its random numbers go by)."""
    parts = []
    for row, keyed in draws:
        whole, rng = chains.chain(row), generator(*keyed)
        cut = places(len(whole.codes_L), length, split, rng)
        noise_L3 = rng.standard_normal((length, 3), dtype=np.float32)
        parts.append((whole.codes_L[cut], whole.index_L[cut], whole.ca_L3[cut], noise_L3))
    codes_BL, index_BL, ca_BL3, noise_BL3 = (np.stack(arrays) for arrays in zip(*parts, strict=True))
    ids = tuple(chains.ids[row] for row, _ in draws)
    return Crops(ids, codes_BL, index_BL, ca_BL3, noise_BL3, level_B, sigma_B.astype(np.float32))


def places(residues: int, length: int, split: float, rng: np.random.Generator) -> np.ndarray:
    """Which residues of a chain make a crop: `length` neighbours, or with chance `split` two pieces of half as many."""
    if rng.random() >= split:
        return rng.integers(residues - length + 1) + np.arange(length)
    first = length // 2
    starts = np.sort(rng.integers(residues - length + 1, size=2))  # in the chain without the pieces
    return np.concatenate([starts[0] + np.arange(first), starts[1] + np.arange(first, length)])


def calibration_batches(chains: Structures, config: ScoreFitConfig, noise: NoiseConfig) -> list[Crops]:
    """The micro-batches that fix the statistics of the norms: like those of training, and the same in every call."""
    shares = steps(chains, config, noise, step=2**40)  # steps that no training comes to
    return list(islice(chain.from_iterable(share.batches for share in shares), CALIBRATION))


def validation_batches(chains: Structures, config: ScoreFitConfig, noise: NoiseConfig) -> list[Crops]:
    """One crop of each chain, those with the smallest hashes of their ids; the same for every seed."""
    found = []
    rows = trainable(chains.lengths)
    if not len(rows):
        raise ValueError(f"no chain of the {len(chains)} to validate on has at least {MIN_RESIDUES} residues")
    chosen = sorted(rows.tolist(), key=lambda row: key(chains.ids[row]))[: config.validation_chains]
    turns = {row: turn for turn, row in enumerate(chosen)}
    rows = np.sort(chosen)
    every = max(1, min(noise.levels // config.validation_levels, len(rows)))
    count = -(-noise.levels // every)
    lengths = np.minimum(chains.lengths[rows], config.crop)
    sigmas_K = noise.sigmas()
    for length in np.unique(lengths).tolist():
        same = rows[lengths == length].tolist()
        pairs = [(row, (turns[row] + n * every) % noise.levels) for row in same for n in range(count)]
        for start in range(0, len(pairs), config.batch):
            part = pairs[start : start + config.batch]
            level_B = np.array([level for _, level in part])
            draws = [(row, ("validation", chains.ids[row], level)) for row, level in part]
            found.append(crops(chains, draws, length, level_B, sigmas_K[level_B]))
    return found
