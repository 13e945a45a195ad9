"""The score network: a training step and an embedding on one core, and what Ray adds to a step.

Operations are those of the blocks' convolutions: 2 x weights x pairs of a forward pass, and twice that again to train.

Shape key:  B structures   L residues   C channels
"""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from protray.bench.plain.score_net import NET, PlainScoreNet
from protray.bench.timing import Case, Spread, compare, interleaved, matrix_rate, peak_resident_bytes
from protray.data.structure.structures import StructureChain, read_structures
from protray.inference.embeddings.score_net import NOISE, Embedder
from protray.models.score.score_config import ScoreNetConfig
from protray.models.score.score_net import ScoreNet
from protray.plm.masked import has_bf16
from protray.seq.alphabet import N_AA
from protray.struct.geometry import distances
from protray.struct.noise import draw_levels
from protray.training.structure.score_net import Denoising, forward
from protray.training.structure.score_steps import Crops, ScoreFitConfig, crops
from protray.training.world import World

CROPS, BATCH = (32, 64), 8
LENGTHS, LONGEST = (200, 1000), 2000  # residues of the chains that are embedded; the longest without a plain one
TURNS = 3  # of what takes half a minute each


def bench(repeats: int) -> tuple[list[Case], dict[str, Any]]:
    """Cases of a step, of embeddings and of Ray; time per pair and memory of long chains."""
    # they start from a clean environment, so Ray is imported in there
    from protray.bench.through_ray.cases import ray_cases
    from protray.bench.through_ray.score import training

    kind = "bfloat16" if has_bf16() else "float32"
    limits = {name: matrix_rate(name) for name in {kind, "float32"}}
    cases = [step_case(crop, repeats, kind, limits[kind]) for crop in CROPS]
    embedded, more = embedding_cases(min(TURNS, repeats), limits["float32"])
    return cases + embedded + ray_cases(training(), min(TURNS, repeats)), more


def step_case(crop: int, repeats: int, kind: str, limit: float) -> Case:
    """One step of training at this crop."""
    batch, net = first_batch(crop), fresh_net()
    return compare(
        f"step, crop {crop}",
        f"forward, backward, clip, Adam on {BATCH} crops of {crop} residues, {NET.blocks} blocks of {NET.channels} "
        f"channels, {kind}; plain: float32, NCHW, all inputs of a pair in one tensor, L x L x 3 differences",
        plain_step(PlainScoreNet(net), batch),
        our_step(net, batch),
        repeats,
        work=3 * operations(net, BATCH * crop**2),
        limit=limit,
        limit_name=f"{kind} products",
    )


def fresh_net() -> ScoreNet:
    torch.manual_seed(0)
    net = ScoreNet(NET).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    nn.init.normal_(net.last.weight, std=0.01)  # a net that starts at a score of 0 has no gradient but there
    for block in net.blocks:
        nn.init.normal_(block.up_norm.scale_KC, std=0.1)  # type: ignore[union-attr]
    return net


def first_batch(crop: int) -> Crops:
    """Crops of the first chains of the bundled sample that are long enough."""
    chains = read_structures(split="train")
    rows = np.flatnonzero(chains.lengths >= crop)[:BATCH].tolist()
    levels = draw_levels(NET.noise, BATCH, 1, np.random.default_rng(0))
    return crops(chains, [(row, ("bench", row)) for row in rows], crop, *levels)


def our_step(net: ScoreNet, batch: Crops) -> Callable[[], float]:
    denoising, weights = Denoising(net.train()), list(net.parameters())
    optimizer = torch.optim.Adam(weights, lr=1e-4, fused=True)
    return _step(lambda: forward(denoising, batch, ScoreFitConfig(), World())[0], weights, optimizer, batch)


def plain_step(net: PlainScoreNet, batch: Crops) -> Callable[[], float]:
    arrays = (batch.codes_BL, batch.index_BL, batch.ca_BL3, batch.noise_BL3, batch.level_B, batch.sigma_B)
    tensors, weights = [torch.from_numpy(array) for array in arrays], list(net.train().parameters())
    return _step(lambda: net(*tensors), weights, torch.optim.Adam(weights, lr=1e-4), batch)


def _step(
    losses: Callable[[], Tensor], weights: list[nn.Parameter], optimizer: torch.optim.Optimizer, batch: Crops
) -> Callable[[], float]:
    def step() -> float:
        loss = losses().sum() / (1.5 * batch.codes_BL.size)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def operations(net: ScoreNet, pairs: int) -> float:
    """Of the convolutions of the blocks in a forward pass."""
    return 2.0 * pairs * sum(conv.weight.numel() for conv in net.modules() if isinstance(conv, nn.Conv2d))


def embedding_cases(repeats: int, limit: float) -> tuple[list[Case], dict[str, float]]:
    """Protein embeddings of whole chains, against the plain network on the whole map at once."""
    net = fresh_net().eval()
    ours, plain = Embedder(net), PlainScoreNet(net).eval()
    cases = [
        compare(
            f"embedding, L = {length}",
            f"protein embedding of a chain of {length} residues, float32, on one core; plain: all pairs at once, NCHW",
            plain_embedding(plain, random_chain(length)),
            our_embedding(ours, random_chain(length)),
            repeats,
            work=operations(net, length**2),
            limit=limit,
            limit_name="float32 products",
        )
        for length in LENGTHS
    ]
    ends = {length: our_embedding(ours, random_chain(length)) for length in (LENGTHS[0], LONGEST)}
    seconds = interleaved({str(length): run for length, run in ends.items()}, repeats, time.process_time)
    short, long = (
        np.array(turns) / length**2 for length, turns in zip(ends, seconds.values(), strict=True)
    )  # fmt: skip
    return cases, {
        f"embedding, µs per pair at L = {LONGEST}": 1e6 * float(np.median(long)),
        f"embedding, time per pair at L = {LONGEST} over L = {LENGTHS[0]}": Spread.of((long / short).tolist()).median,
        f"embedding, peak extra MB at L = {LENGTHS[-1]}": embedding_peak(LENGTHS[-1], plain=False) / 1e6,
        "the same of the plain one, MB": embedding_peak(LENGTHS[-1], plain=True) / 1e6,
    }


def embedding_peak(length: int, plain: bool, config: ScoreNetConfig = NET) -> int:
    """Extra bytes of an embedding in a process of its own: this one holds memory that it has let go, for next time."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_embedding_peak, config, length, plain).result()


def _embedding_peak(config: ScoreNetConfig, length: int, plain: bool) -> int:
    torch.set_num_threads(1)
    net = ScoreNet(config).eval()
    chains = random_chain(8), random_chain(length)  # a short one first, for what is set up once
    if plain:
        short, long = (plain_embedding(PlainScoreNet(net).eval(), chain) for chain in chains)
    else:
        short, long = (our_embedding(Embedder(net), chain) for chain in chains)
    short()
    return peak_resident_bytes(long)


def random_chain(length: int) -> StructureChain:
    """A random walk with steps of a bond's length."""
    rng = np.random.default_rng(0)
    bonds_L3 = rng.normal(size=(length, 3))
    ca_L3 = (3.8 * bonds_L3 / np.linalg.norm(bonds_L3, axis=1, keepdims=True)).cumsum(axis=0).astype(np.float32)
    codes_L, index_L = rng.integers(0, N_AA, length).astype(np.uint8), np.arange(length, dtype=np.int32)
    return StructureChain("walk", codes_L, index_L, ca_L3)


def our_embedding(embedder: Embedder, chain: StructureChain) -> Callable[[], np.ndarray]:
    return lambda: embedder.protein(chain)


def plain_embedding(net: PlainScoreNet, chain: StructureChain) -> Callable[[], np.ndarray]:
    @torch.inference_mode()
    def run() -> np.ndarray:
        ca_1L3, codes_1L, index_1L = (torch.from_numpy(a)[None] for a in (chain.ca_L3, chain.codes_L, chain.index_L))
        level = torch.tensor([net.config.noise.nearest(NOISE)])
        return net.maps(distances(ca_1L3), codes_1L, index_1L, level).mean(dim=(0, 2, 3)).numpy()

    return run
