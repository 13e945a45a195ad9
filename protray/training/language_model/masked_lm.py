"""Pre-train a protein language model to fill in masked residues (Devlin et al. 2018, with the ESM architecture)."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any  # models of Transformers, whose attributes no type checker knows

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from protray.plm.masked import has_bf16
from protray.plm.pretraining.architecture import build_model
from protray.plm.pretraining.config import MaskedLmConfig
from protray.plm.pretraining.masking import MaskedBatch
from protray.plm.pretraining.steps import Step
from protray.plm.pretraining.tokens import CLS, EOS, MASK, PADDING
from protray.training.errors import NonFiniteLossError
from protray.training.progress import Report
from protray.training.updates import half_cosine
from protray.training.world import World

MOST_NONFINITE = 10  # steps in a row without a usable gradient; then it is no accident any more


def learning_rate(step: int, config: MaskedLmConfig) -> float:
    """Linear warm-up, then half a cosine down to a thousandth of the peak at the last step."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / (config.steps - config.warmup)
    return config.learning_rate * (0.001 + 0.999 * half_cosine(done))


class MaskedLoss(nn.Module):
    """Cross-entropies at masked positions; only those enter the model's head."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens_BT: Tensor, targets_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum in nats, and [the same of hidden positions, their number, right guesses] without gradient."""
        asked_BT = targets_BT >= 0
        model: Any = self.model
        hidden_BTC = model.esm(tokens_BT, attention_mask=(tokens_BT != PADDING).long())[0]
        logits = model.lm_head(hidden_BTC[asked_BT]).float()
        targets = targets_BT[asked_BT]
        nats = F.cross_entropy(logits, targets, reduction="none")
        hidden = tokens_BT[asked_BT] == MASK
        right = logits.argmax(dim=-1) == targets
        return nats.sum(), torch.stack([nats.detach()[hidden].sum(), hidden.sum(), right.sum()])


@dataclass
class Position:
    """Where a run is, beside its weights: plain numbers, as they go into a checkpoint."""

    step: int = 0
    epoch: int = 0
    index: int = 0  # of the next step in this epoch
    residues: int = 0  # seen so far, on all workers
    nonfinite: int = 0  # steps that were skipped
    sums: list[float] = field(default_factory=lambda: [0.0] * 6)  # since the last report; see `_train_metrics`
    history: list[dict[str, float]] = field(default_factory=list)  # the curve


def fit(
    config: MaskedLmConfig,
    steps: Callable[[int, int], Iterator[Step]],
    validation: list[MaskedBatch],
    report: Report,
    resume: dict | None = None,
    world: World = World(),  # noqa: B008  (frozen)
) -> Any:
    """Train and return the model.

    `steps(epoch, index)` yields this worker's share of the steps from there on.  All workers call
    `report(metrics, state)` together after every step: every `report_every` steps with metrics, every
    `checkpoint_every` steps with a state, at the end with both, else with ``step`` and ``of`` alone.  A state given
    back as `resume` continues exactly there, sums since the last report included: a step has no randomness but that
    of its batches.

    Raises
    ------
    NonFiniteLossError
        After `MOST_NONFINITE` steps in a row whose loss or gradient is not finite; each of them changes nothing.
    """
    model = build_model(config)
    for unused in model.esm.contact_head.parameters():  # DDP waits for the gradient of whatever may have one
        unused.requires_grad_(False)
    loss_of = world.wrap(MaskedLoss(model))
    if config.compile:
        model.esm.compile()
    bf16 = config.bf16 and has_bf16()
    weights = [weight for weight in loss_of.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, betas=(0.9, 0.98), weight_decay=config.weight_decay)
    at = Position()
    if resume:
        model.load_state_dict(resume["model"])
        optimizer.load_state_dict(resume["optimizer"])
        at = Position(**copy.deepcopy(resume["position"]))
    skipped, last, clock, residues_then = 0, math.nan, time.monotonic(), at.residues
    for share in steps(at.epoch, at.index):
        if at.step >= config.steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(at.step, config)
        found, residues = _update(loss_of, optimizer, weights, share.batches, config.clip, bf16, world)
        if found:
            last = found[0] / max(found[1], 1)
            at.sums = [total + value for total, value in zip(at.sums, found, strict=True)]
        skipped = 0 if found else skipped + 1
        if skipped == MOST_NONFINITE:
            raise NonFiniteLossError.at(
                f"step {at.step + 1} of {config.steps}",
                f"the loss or its gradient was not finite in {skipped} steps in a row; lower the learning rate, "
                "lengthen the warm-up, or switch bf16 off",
                last,
            )
        at.step, at.epoch, at.index = at.step + 1, share.epoch, share.index + 1
        at.residues, at.nonfinite = at.residues + residues, at.nonfinite + (not found)
        metrics: dict[str, float] = {"step": at.step, "of": config.steps}
        if at.step % config.report_every == 0 or at.step == config.steps:
            speed = (at.residues - residues_then) / (time.monotonic() - clock)
            metrics |= {"train/epoch": at.epoch, "train/residues": at.residues} | _train_metrics(at.sums)
            metrics |= {
                "train/nonfinite_steps": at.nonfinite,
                "train/learning_rate": learning_rate(at.step - 1, config),
                "train/world_size": world.size,
            }
            metrics |= {"train/residues_per_second": speed} | validate(model, validation, bf16, world)
            at.history.append(metrics)
            at.sums, clock, residues_then = [0.0] * len(at.sums), time.monotonic(), at.residues
        state = None
        if at.step % config.checkpoint_every == 0 or at.step == config.steps:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "position": asdict(at)}
        report(metrics, state)
    return model


def _update(
    loss_of: nn.Module,
    optimizer: torch.optim.Optimizer,
    weights: list[nn.Parameter],
    batches: tuple[MaskedBatch, ...],
    clip: float,
    bf16: bool,
    world: World,
) -> tuple[list[float] | None, int]:
    """Take one step on the mean loss over the masked residues of all workers' micro-batches.

    Returns the summands of `Position.sums`, or None if the step was skipped, and the number of residues shown.
    """
    asked, residues = world.sum([sum(b.asked for b in batches), sum(b.residues for b in batches)])
    parts = []
    shares = batches or (IDLE,)
    for number, batch in enumerate(shares, start=1):
        last = number == len(shares)
        unsynced = loss_of.no_sync() if isinstance(loss_of, DistributedDataParallel) and not last else nullcontext()
        with unsynced:
            nats, counts = _forward(loss_of, batch, bf16, world)
            (nats * world.size / max(asked, 1)).backward()  # DDP averages over workers; this is the global mean
        parts.append(torch.cat([nats.detach()[None], counts[:2]]))
    nats, hidden_nats, hidden = world.sum(torch.stack(parts).double().sum(dim=0).tolist())
    norm = nn.utils.clip_grad_norm_(weights, clip).item()
    finite = math.isfinite(nats) and math.isfinite(norm)
    if finite:
        optimizer.step()
    optimizer.zero_grad()
    return ([nats, asked, hidden_nats, hidden, norm, 1.0] if finite else None), int(residues)


# What a worker without a micro-batch computes, so that it takes part in the sum of the gradients
IDLE = MaskedBatch(np.array([[CLS, EOS]]), np.full((1, 2), -100))


def _train_metrics(sums: list[float]) -> dict[str, float]:
    """Perplexity over all masked residues, and over the hidden ones: a tenth is left readable, which flatters."""
    nats, asked, hidden_nats, hidden, norms, steps = sums
    return {
        "train/perplexity": perplexity(nats, asked),
        "train/hidden_perplexity": perplexity(hidden_nats, hidden),
        "train/gradient_norm": norms / steps if steps else math.nan,
    }


def perplexity(nats: float, n: float) -> float:
    """exp(nats / n); NaN for n = 0, and no larger than a float holds."""
    return math.exp(min(nats / n, 700.0)) if n else math.nan


def _forward(loss_of: nn.Module, batch: MaskedBatch, bf16: bool, world: World) -> tuple[Tensor, Tensor]:
    tokens_BT = torch.from_numpy(batch.tokens_BT).to(world.device)
    targets_BT = torch.from_numpy(batch.targets_BT).to(world.device)
    with torch.autocast(torch.device(world.device).type, dtype=torch.bfloat16, enabled=bf16):
        return loss_of(tokens_BT, targets_BT)


@torch.no_grad()
def validate(model: Any, batches: list[MaskedBatch], bf16: bool, world: World) -> dict[str, float]:
    """Perplexity and share of right guesses over all residues asked for in `batches`, shared among the workers."""
    loss_of = MaskedLoss(model).eval()
    sums = [0.0, 0.0, 0.0]
    for batch in batches[world.rank :: world.size]:
        nats, counts = _forward(loss_of, batch, bf16, world)
        sums = [sums[0] + nats.item(), sums[1] + batch.asked, sums[2] + counts[2].item()]
    loss_of.train()
    nats_everywhere, asked, right = world.sum(sums)
    top1 = right / asked if asked else math.nan
    return {"validation/perplexity": perplexity(nats_everywhere, asked), "validation/top1": top1}
