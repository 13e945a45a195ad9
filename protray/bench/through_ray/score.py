"""A training of the score network as `protray.bench.through_ray.cases` times it."""

from dataclasses import asdict
from itertools import islice

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from protray.bench.plain.score_net import NET
from protray.bench.through_ray.cases import Stamp, Training, now
from protray.cluster.train.job import Report
from protray.data.structure.structures import read_structures
from protray.models.score.score_net import ScoreNet
from protray.training.structure.score_export import read_config
from protray.training.structure.score_net import Denoising, fit, forward
from protray.training.structure.score_steps import ScoreFitConfig, steps
from protray.training.world import World

FIT = ScoreFitConfig(batch=32, micro_batch=8, validate_every=10**9)
STEPS, FIRST = 30, 14


def training() -> Training:
    settings = {"net": asdict(NET), "fit": asdict(FIT), "steps": STEPS}
    return Training(f"{FIT.batch} crops of {FIT.crop} residues", plain, loop, settings, STEPS, FIRST)


def plain(settings: dict) -> list[Stamp]:
    """A loop as in PyTorch's tutorials, with the same network, crops, precision and running mean."""
    torch.manual_seed(0)
    net, config = ScoreNet(read_config(settings["net"])), ScoreFitConfig(**settings["fit"])
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    denoising, average = Denoising(net), AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
    optimizer = torch.optim.Adam(net.parameters(), lr=config.learning_rate, fused=True)
    stamps = []
    for share in islice(steps(read_structures(split="train"), config, net.config.noise), settings["steps"]):
        for crops in share.batches:
            (forward(denoising, crops, config, World())[0].sum() / (1.5 * share.residues)).backward()
        nn.utils.clip_grad_norm_(net.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(net)
        stamps.append(now())
    return stamps


def loop(settings: dict, report: Report, resume: dict | None, world: World) -> None:
    """Train as jobs/score_net.py does."""
    net, config = read_config(settings["net"]), ScoreFitConfig(**settings["fit"])
    chains = read_structures(split="train")
    few = list(next(steps(chains, config, net.noise)).batches)
    fit(
        net, config, settings["steps"], lambda step: steps(chains, config, net.noise, step, world.rank, world.size),
        few, few, report, resume, world,
    )  # fmt: skip
