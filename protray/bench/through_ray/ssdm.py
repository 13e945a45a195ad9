"""A pre-training of SSDM, as jobs/ssdm.py does it by default, as `protray.bench.through_ray.cases` times it."""

from itertools import islice

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from protray.bench.through_ray.cases import Stamp, Training, now
from protray.cluster.train.job import Report
from protray.data.structure.atoms import read_atoms
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import SMALL
from protray.training.structure.ssdm import batch_of, fit, fresh, validation_batches
from protray.training.structure.ssdm_config import ObjectiveConfig, SsdmFitConfig
from protray.training.structure.ssdm_draws import micro_batches, steps
from protray.training.structure.ssdm_objectives import objective_losses, step_loss
from protray.training.world import World

NET, LEARN = SMALL, ObjectiveConfig()
FIT = SsdmFitConfig(validate_every=10**9, validation_chains=16)
STEPS, FIRST = 100, 40


def training() -> Training:
    settings = {"joint": SsdmConfig(net=NET), "fit": FIT, "steps": STEPS}
    return Training(f"{FIT.batch} crops of {FIT.crop} residues", plain, loop, settings, STEPS, FIRST)


def plain(settings: dict) -> list[Stamp]:
    """A loop as in PyTorch's tutorials, with the same network, crops, objectives and running mean."""
    joint, config = settings["joint"], settings["fit"]
    net, chains, k = fresh(joint, LEARN, config.seed), read_atoms(split="train"), joint.net.neighbours
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    average, stamps = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(config.ema)), []
    for visits in islice(steps(chains.lengths, config, LEARN), settings["steps"]):
        batches = [batch_of(chains, group, LEARN, config, k) for group in micro_batches(visits, config)]
        counts = {term: sum(batch.counts[term] for batch in batches) for term in LEARN.terms()}
        for batch in batches:
            step_loss(objective_losses(net.model, net.heads, batch, LEARN, k), counts, LEARN).backward()
        nn.utils.clip_grad_norm_(net.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(net)
        stamps.append(now())
    return stamps


def loop(settings: dict, report: Report, resume: dict | None, world: World) -> None:
    """Train as jobs/ssdm.py does."""
    joint, config = settings["joint"], settings["fit"]
    chains, others = read_atoms(split="train"), read_atoms(split="validation")
    held_out = validation_batches(others, LEARN, config, joint.net.neighbours)
    fit(joint, LEARN, config, settings["steps"], chains, held_out, report, resume, world)
