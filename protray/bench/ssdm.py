"""SSDM's encoder: a step and an embedding on one core, long chains, and what Ray adds to a step of its pre-training.

Operations are those of the matrix products of a forward pass, and twice that again to train; geometry, exponentials and
gathered rows count for nothing.

Shape key:  B proteins   L residues   C channels   3 x, y, z in Å
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from protray.bench.plain.frame_attention import PlainFrameNet
from protray.bench.timing import Case, compare, interleaved, matrix_rate
from protray.data.structure.atom_batches import collate
from protray.data.structure.atoms import AtomChain
from protray.inference.embeddings.structure_encoder import StructureEncoder
from protray.models.joint.shipped import ENCODER
from protray.models.joint.ssdm import Ssdm
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_attention import FrameAttention
from protray.models.structure.frame_config import SMALL, FrameAttentionConfig
from protray.models.structure.frame_features import NODE_NUMBERS, PAIR_NUMBERS
from protray.models.structure.structure_batch import StructureBatch
from protray.seq.alphabet import N_AA
from protray.struct.residues.atom14 import CA, HAS, SLOTS
from protray.training.structure.ssdm_export import SsdmCard

NET = replace(SMALL, neighbours=32)  # of the step
BATCH, STEP_LENGTH = 4, 300
LENGTHS, COMPARED = (200, 500, 1000, 2000), 500  # residues of the chains that are embedded
MANY, USUAL = 10_000, 300  # chains, and their residues
TURNS = 3  # of what takes half a minute each


def bench(repeats: int) -> tuple[list[Case], dict[str, Any]]:
    """Cases of a step, of an embedding and of Ray; time per residue of long chains, and of many chains."""
    # they start from a clean environment, so Ray is imported in there
    from protray.bench.through_ray.cases import ray_cases
    from protray.bench.through_ray.ssdm import training

    limit = matrix_rate()
    cases = [step_case(repeats, limit), embedding_case(repeats, limit)]
    more = per_residue(repeats) | many_chains(repeats)
    return cases + ray_cases(training(), min(TURNS, repeats)), more


def step_case(repeats: int, limit: float) -> Case:
    """Vectors of residues and their gradients."""
    net, batch = fresh_net(NET), collate([random_chain(STEP_LENGTH, seed) for seed in range(BATCH)])
    return compare(
        f"step, L = {STEP_LENGTH}",
        f"forward and backward, {BATCH} chains of {STEP_LENGTH} residues, {NET.layers} layers of {NET.channels} "
        f"channels, {NET.neighbours} neighbours, float32; plain: all pairs, all but neighbours masked, einsum",
        step(PlainFrameNet(net), batch),
        step(net, batch),
        repeats,
        work=3 * operations(NET, BATCH * STEP_LENGTH),
        limit=limit,
        limit_name="float32 products",
    )


def fresh_net(config: FrameAttentionConfig) -> FrameAttention:
    torch.manual_seed(0)
    return FrameAttention(config)


def step(net: nn.Module, batch: StructureBatch) -> Callable[[], Tensor]:
    """A run gives the vectors of the residues, and leaves gradients of their products with random numbers."""
    weight_BLC = torch.randn(*batch.real_BL.shape, NET.width, generator=torch.Generator().manual_seed(0))

    def run() -> Tensor:
        net.zero_grad()
        z_BLC = net(batch)
        (z_BLC * weight_BLC).sum().backward()
        return z_BLC.detach()

    return run


def operations(config: FrameAttentionConfig, residues: int) -> float:
    """Of the matrix products of a forward pass without points, all neighbours there."""
    width, pair, heads, k = config.channels, config.pair, config.heads, config.neighbours
    start = (width + NODE_NUMBERS) * width + width**2
    of_pair = PAIR_NUMBERS[config.pair_input] * pair + pair**2 + pair * heads * config.layers
    attention = 3 * width**2 + k * heads * (2 * width + pair)  # query, key, value; logits, sums of rows and of pairs
    layer = attention + (width + heads * pair) * width + 2 * config.expansion * width**2
    return 2.0 * residues * (start + k * of_pair + config.layers * layer)


def embedding_case(repeats: int, limit: float) -> Case:
    """Vectors of the residues of a whole chain."""
    encoder, chain = fresh_encoder(), random_chain(COMPARED)
    assert isinstance(encoder.net.encoder, FrameAttention)
    return compare(
        f"embedding, L = {COMPARED}",
        f"vectors of the residues of a chain of {COMPARED}, {SMALL.neighbours} neighbours, float32, on one core; "
        "plain: all pairs, all but neighbours masked, einsum",
        plain_embedding(PlainFrameNet(encoder.net.encoder), chain),
        our_embedding(encoder, chain),
        repeats,
        work=operations(SMALL, COMPARED),
        limit=limit,
        limit_name="float32 products",
    )


def fresh_encoder() -> StructureEncoder:
    """As jobs/ssdm.py makes it by default, with random weights."""
    config = SsdmConfig(net=SMALL)
    torch.manual_seed(0)
    return StructureEncoder(SsdmCard(config, side_chains=True, objectives=(), seed=0), Ssdm(config))


def our_embedding(encoder: StructureEncoder, chain: AtomChain) -> Callable[[], np.ndarray]:
    return lambda: encoder.residue(chain)


def at_once(encoder: StructureEncoder, length: int, count: int) -> Callable[[], np.ndarray]:
    """Vectors of the residues of several chains of one length."""
    batch = collate([random_chain(length, seed) for seed in range(count)])

    @torch.inference_mode()
    def run() -> np.ndarray:
        return encoder.net.encode(batch).residue_BLC.numpy()

    return run


def plain_embedding(net: PlainFrameNet, chain: AtomChain) -> Callable[[], np.ndarray]:
    @torch.inference_mode()
    def run() -> np.ndarray:
        return net(collate([chain]))[0].numpy()

    return run


def per_residue(repeats: int) -> dict[str, float]:
    """Processor time of an embedding at each length, over its residues, by each network.

    A chain by itself, as jobs/embed.py reads it; and as many chains at once as make the longest length, so that what a
    call costs beside its residues is the same for all lengths.
    """
    found, most = {}, max(LENGTHS)
    encoders = {"default network": fresh_encoder(), "encoder in the package": StructureEncoder.open(ENCODER)}
    for name, encoder in encoders.items():
        ways = {
            "a chain at a time": {n: (n, our_embedding(encoder, random_chain(n))) for n in LENGTHS},
            f"{most} residues at a time": {n: (most // n * n, at_once(encoder, n, most // n)) for n in LENGTHS},
        }
        for way, runs in ways.items():
            seconds = interleaved({str(length): run for length, (_, run) in runs.items()}, repeats, time.process_time)
            each = [float(np.median(seconds[str(length)])) / residues for length, (residues, _) in runs.items()]
            for length, one in zip(runs, each, strict=True):
                found[f"embedding by the {name}, {way}, µs per residue at L = {length}"] = 1e6 * one
            found[f"embedding by the {name}, {way}, slowest length over fastest"] = max(each) / min(each)
    return found


def many_chains(repeats: int) -> dict[str, float]:
    """Residues per second of a core, and how long many chains of a usual length take, each core with its own."""
    run, cores = our_embedding(fresh_encoder(), random_chain(USUAL)), len(os.sched_getaffinity(0))
    seconds = float(np.median(interleaved({"one": run}, repeats, time.process_time)["one"]))
    return {
        f"embedding, residues per second of a core at L = {USUAL}": USUAL / seconds,
        f"embedding {MANY:,} chains of {USUAL} residues on {cores} cores, s": MANY * seconds / cores,
    }


def random_chain(length: int, seed: int = 0) -> AtomChain:
    """A random walk with steps of a bond's length, and all atoms of each residue about it."""
    rng = np.random.default_rng(seed)
    codes_L, bonds_L3 = rng.integers(0, N_AA, length).astype(np.uint8), rng.normal(size=(length, 3))
    ca_L3 = (3.8 * bonds_L3 / np.linalg.norm(bonds_L3, axis=1, keepdims=True)).cumsum(axis=0)
    atoms_LA3 = ca_L3[:, None] + rng.normal(size=(length, SLOTS, 3))
    atoms_LA3[:, CA] = ca_L3
    present_LA = HAS[codes_L]
    return AtomChain(
        "walk", codes_L, np.arange(length, dtype=np.int32), np.zeros(length, np.int8),
        np.where(present_LA[:, :, None], atoms_LA3, 0).astype(np.float32), present_LA,
    )  # fmt: skip
