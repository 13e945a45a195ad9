"""What a step of SSDM's pre-training sees: which chains, which crops of them, and everything that is drawn at random.

Draws belong to (seed, name, epoch, id, view), the chains and noise levels of a step to (seed, step): any number of
workers and any size of micro-batches trains on the same numbers, and a run that was stopped goes on anywhere.

Shape key:  L residues of a crop   A 14 atoms   N paths   S residues of a path   M pairs   K neighbours   3 xyz in Å
            5 chi_1 to chi_5
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from protray.data.structure.atoms import AtomChain
from protray.losses.diffusion import masked_share, noise_levels
from protray.seq.alphabet import N_AA
from protray.seq.keyed import generator, key
from protray.struct.residues.atom14 import CA, CB, MAX_CHI
from protray.training.structure.ssdm_config import ObjectiveConfig, SsdmFitConfig

VALIDATION = -1  # the epoch of its visits
CONFIDENT = 50  # pLDDT, percent: residues of a predicted model below it are never asked for
PATHS = {"distance": 2, "angle": 3, "dihedral": 4}  # residues of a path


@dataclass(frozen=True)
class Visit:
    """A chain's turn: the row it is in, which time it is seen, and how much noise it gets if any."""

    row: int
    epoch: int
    level: int


@dataclass(frozen=True)
class View:
    """A crop for the contrast, and the pairs (i, j) that are no edges in it, both ways."""

    crop: AtomChain
    removed_M2: np.ndarray


@dataclass(frozen=True)
class Draw:
    """All that the objectives need to know of one crop; fields of objectives that are not in use are empty or None."""

    cluster: int  # proteins of one are no negatives of each other
    crop: AtomChain
    asked_L: np.ndarray  # bool: whether a residue may be a target
    masked_L: np.ndarray  # bool: the residues whose type is asked for
    paths_NS: np.ndarray  # int64
    views: tuple[View, View] | None  # of the contrast
    level: int
    noise_VLA3: np.ndarray  # float32, standard normal: of no view, of one, or of SiamDiff's two
    shift_LA3: np.ndarray | None  # float32, standard normal: what all atoms of SiamDiff's second view are moved by
    turn_L5: np.ndarray | None  # float32, standard normal: what its torsions are turned by, in place of that
    hidden_L: np.ndarray  # bool: the residues whose type SiamDiff hides


def steps(lengths: np.ndarray, fit: SsdmFitConfig, config: ObjectiveConfig, step: int = 0) -> Iterator[list[Visit]]:
    """Yield the visits of each whole step from number `step` on, for ever, sorted by length.

    A worker of `size` takes ``micro_batches(visits, fit)[rank::size]``.  The levels of a step are spread as evenly as
    they go.
    """
    rows = np.flatnonzero(lengths >= config.shortest_chain())
    if not len(rows):
        raise ValueError(f"no chain of {len(lengths)} has at least {config.shortest_chain()} residues to train on")
    orders: dict[int, np.ndarray] = {}  # of the epochs that this step takes chains from
    while True:
        drawn = [divmod(place, len(rows)) for place in range(step * fit.batch, (step + 1) * fit.batch)]
        orders = {
            epoch: orders[epoch] if epoch in orders else generator(fit.seed, "order", epoch).permutation(rows)
            for epoch in {epoch for epoch, _ in drawn}
        }
        level_B = stratified(len(noise_levels(config.levels)), fit.batch, generator(fit.seed, "levels", step))
        visits = [
            Visit(int(orders[epoch][place]), epoch, level)
            for (epoch, place), level in zip(drawn, level_B.tolist(), strict=True)
        ]
        yield sorted(visits, key=lambda visit: min(lengths[visit.row], fit.crop))
        step += 1


def micro_batches(visits: list[Visit], fit: SsdmFitConfig) -> list[list[Visit]]:
    """Cut the visits of a step, neighbours in length together."""
    return [visits[start : start + fit.micro_batch] for start in range(0, len(visits), fit.micro_batch)]


def validation(ids: list[str], lengths: np.ndarray, fit: SsdmFitConfig, config: ObjectiveConfig) -> list[list[Visit]]:
    """Batches of the chains with the smallest hashes of their ids, each seen once; to be drawn with the seed 0.

    Batches are of `fit.batch` chains whatever the number of workers: the contrast is among those of a batch.  Levels
    of noise are handed out in turn; to fewer chains than levels, evenly from the whole range.
    """
    rows = np.flatnonzero(lengths >= config.shortest_chain()).tolist()
    if not rows:
        raise ValueError(f"no chain of {len(lengths)} has at least {config.shortest_chain()} residues to validate on")
    kept = sorted(rows, key=lambda row: key(ids[row]))[: fit.validation_chains]
    levels = len(noise_levels(config.levels))
    turns = np.arange(len(kept))
    level_N = turns % levels if len(kept) >= levels else (2 * turns + 1) * levels // (2 * len(kept))
    visits = [Visit(row, VALIDATION, level) for row, level in zip(kept, level_N.tolist(), strict=True)]
    return [visits[start : start + fit.batch] for start in range(0, len(visits), fit.batch)]


def stratified(levels: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """A level for each of `count` crops, 0-based: in turn from a random start, then shuffled."""
    place_B = (rng.random() + np.arange(count)) / count
    return rng.permutation((place_B * levels).astype(np.int64))


def draw(
    chain: AtomChain, visit: Visit, fit: SsdmFitConfig, config: ObjectiveConfig, neighbours: int,
    cluster: str | None = None,
) -> Draw:  # fmt: skip
    """Draw all of a visit; `neighbours` are those of a residue in the encoder, along which paths go.

    Chains without a `cluster` are each their own.
    """

    def rng(name: str, view: int = 0) -> np.random.Generator:
        return generator(fit.seed, name, visit.epoch, chain.id, view)

    def seen(name: str, residues: int, view: int = 0) -> AtomChain:
        cut = cropped(chain, residues, rng(name, view))
        return augmented(cut, fit.side_chain_drop, fit.backbone_drop, rng(f"{name} augment", view))

    def contrasted(view: int) -> View:
        part = seen("contrast", config.contrast_crop, view)
        return View(part, dropped_edges(part, neighbours, config.edge_drop, rng("edges", view)))

    terms, crop = config.terms(), seen("crop", fit.crop)
    asked_L = confident(crop)
    known_L, nowhere_L = asked_L & (crop.codes_L < N_AA), np.zeros(len(crop), bool)
    hide = masked_share(visit.level, len(noise_levels(config.levels))) if "siamdiff_sequence" in terms else 0.0
    noisy = 2 if "siamdiff" in config.objective else int("denoise" in terms)
    shape, moved = (noisy, *crop.atoms_LA3.shape), noisy == 2 and config.view == "atoms"
    return Draw(
        cluster=key(chain.id if cluster is None else cluster),
        crop=crop,
        asked_L=asked_L,
        masked_L=chosen(known_L, config.mask_share, rng("mask")) if "residue" in terms else nowhere_L,
        paths_NS=paths(
            crop, asked_L, neighbours, [PATHS[term] for term in terms if term in PATHS],
            floor_of(config.path_share, len(asked_L)), rng("paths"),
        ),
        views=(contrasted(0), contrasted(1)) if "contrast" in terms else None,
        level=visit.level,
        noise_VLA3=rng("noise").standard_normal(shape, np.float32) if noisy else np.zeros(shape, np.float32),
        shift_LA3=rng("shift").standard_normal(shape[1:], np.float32) if moved else None,
        turn_L5=rng("turn").standard_normal((len(crop), MAX_CHI), np.float32) if noisy == 2 and not moved else None,
        hidden_L=chosen(known_L, hide, rng("hide")) if hide else nowhere_L,
    )  # fmt: skip


def cropped(chain: AtomChain, residues: int, rng: np.random.Generator) -> AtomChain:
    """Neighbouring residues, at most so many, from anywhere in the chain: the first and the last are in reach."""
    start = int(rng.integers(max(len(chain) - residues, 0) + 1))
    return chain.cut(slice(start, start + residues))


def augmented(chain: AtomChain, side_chain: float, backbone: float, rng: np.random.Generator) -> AtomChain:
    """Leave out side chains with one chance, all but C-alpha atoms with another, else nothing."""
    drawn = rng.random()
    present_LA = chain.present_LA.copy()
    if drawn < backbone:
        present_LA[:, :CA] = present_LA[:, CA + 1 :] = False
    elif drawn < backbone + side_chain:
        present_LA[:, CB:] = False
    return replace(
        chain, present_LA=present_LA, atoms_LA3=np.where(present_LA[:, :, None], chain.atoms_LA3, np.float32(0))
    )


def confident(chain: AtomChain) -> np.ndarray:
    """Whether residues may be asked for, shape (L,): all of an experiment, and of a predicted model the good ones."""
    if chain.plddt_L is None:
        return np.ones(len(chain), bool)
    return chain.plddt_L >= CONFIDENT


def floor_of(share: float, count: int) -> int:
    """floor(share x count), where 0.15 x 20 is 3."""
    return int(share * count + 1e-9)


def chosen(from_L: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Exactly the share of the residues, rounded down, without replacement; bool, shape (L,)."""
    places = np.flatnonzero(from_L)
    found_L = np.zeros(len(from_L), bool)
    found_L[rng.permutation(places)[: floor_of(share, len(places))]] = True
    return found_L


def nearest(ca_L3: np.ndarray, neighbours: int) -> np.ndarray:
    """The nearest residues of each, itself not among them, in no order; shape (L, K), K at most L - 1."""
    square_LL = sum(np.square(x_L[:, None] - x_L) for x_L in np.ascontiguousarray(ca_L3.T))  # by axis: no L x L x 3
    distance_LL = np.sqrt(square_LL)
    np.fill_diagonal(distance_LL, np.inf)
    count = min(neighbours, len(ca_L3) - 1)
    return np.argpartition(distance_LL, max(count - 1, 0), axis=1)[:, :count]


def edges_of(nearest_LK: np.ndarray) -> np.ndarray:
    """Pairs i < j of which one is among the nearest of the other; shape (M, 2)."""
    size, own_L1 = len(nearest_LK), np.arange(len(nearest_LK))[:, None]
    found_N = np.zeros(size**2, bool)
    found_N[np.minimum(own_L1, nearest_LK) * size + np.maximum(own_L1, nearest_LK)] = True
    return np.column_stack(np.divmod(np.flatnonzero(found_N), size))


def paths(
    chain: AtomChain, from_L: np.ndarray, neighbours: int, sizes: list[int], count: int, rng: np.random.Generator
) -> np.ndarray:
    """Paths i, j, k, ... of distinct residues, each among the nearest of the one before; shape (N, largest size).

    `count` of them, or all that are found.  Their first residues, as many as each of `sizes`, are no path twice, read
    in either direction.
    """
    longest = max(sizes, default=2)
    if not sizes or len(chain) < 2:
        return np.zeros((0, longest), np.int64)
    nearest_LK = nearest(chain.atoms_LA3[:, CA], neighbours)
    found_NS = rng.permutation(edges_of(nearest_LK))
    found_NS = np.where(rng.random(len(found_NS))[:, None] < 0.5, found_NS, found_NS[:, ::-1])
    while found_NS.shape[1] < longest:
        column_N = rng.integers(nearest_LK.shape[1], size=len(found_NS))
        next_N = nearest_LK[found_NS[:, -1], column_N]
        found_NS = np.column_stack([found_NS, next_N])[(found_NS != next_N[:, None]).all(axis=1)]
    if not from_L.all():
        found_NS = found_NS[from_L[found_NS].all(axis=1)]
    for size in sizes:
        if size == 2:
            continue  # every path began with an edge of its own
        numbers_S = len(nearest_LK) ** np.arange(size)  # one number for a path, the smaller of its two directions
        number_N = np.minimum(found_NS[:, :size] @ numbers_S, found_NS[:, size - 1 :: -1] @ numbers_S)
        found_NS = found_NS[np.sort(np.unique(number_N, return_index=True)[1])]
    return found_NS[:count].astype(np.int64)


def steps_of_paths(paths_NS: np.ndarray) -> np.ndarray:
    """The pairs of neighbours on paths, both ways, each once; shape (M, 2)."""
    i_M, j_M, size = paths_NS[:, :-1].ravel(), paths_NS[:, 1:].ravel(), paths_NS.max(initial=0) + 1
    return np.column_stack(np.divmod(np.unique(np.concatenate([i_M * size + j_M, j_M * size + i_M])), size))


def dropped_edges(chain: AtomChain, neighbours: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Every second time the share of the edges, rounded down, both ways, else none; shape (M, 2)."""
    if rng.random() < 0.5:
        return np.zeros((0, 2), np.int64)
    edges_M2 = edges_of(nearest(chain.atoms_LA3[:, CA], neighbours))
    lost_M2 = rng.permutation(edges_M2)[: floor_of(share, len(edges_M2))]
    return np.concatenate([lost_M2, lost_M2[:, ::-1]])
