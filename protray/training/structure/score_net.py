"""Train the score network on denoising, Eq. 5 (Guo et al., AAAI 2022), and keep the best running mean of its weights.

Shape key:  B crops   L residues   C channels   K noise levels
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from protray.losses.score import coordinate_score, denoising_loss, perturb, true_score
from protray.models.score_config import ScoreNetConfig
from protray.models.score_net import ConditionalNorm, ScoreNet
from protray.plm.masked import has_bf16
from protray.seq.keyed import key
from protray.struct.geometry import distances, without_rigid_motion
from protray.training.secondary.fit import NonFiniteLossError
from protray.training.structure.score_steps import Crops, ScoreFitConfig, Share
from protray.training.world import World

FARTHEST = 1e6  # Å from the middle of a chain: there, float32 has 0.06 Å left


class Denoising(nn.Module):
    """Perturb, score, compare: Eq. 1 to 5 for a micro-batch."""

    def __init__(self, net: ScoreNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, codes_BL: Tensor, index_BL: Tensor, ca_BL3: Tensor, noise_BL3: Tensor, level_B: Tensor, sigma_B: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of each structure: Eq. 5 without rigid motions, the same of a score of zero, and what the motions add."""
        noisy_BL3 = perturb(ca_BL3, noise_BL3, sigma_B)
        h_BLL = self.net(distances(noisy_BL3), codes_BL, index_BL, level_B, sigma_B)
        with torch.autocast(h_BLL.device.type, enabled=False):
            score_BL3 = coordinate_score(h_BLL, noisy_BL3)
            true_BL3 = true_score(ca_BL3, noisy_BL3, sigma_B)
            within_BL3 = without_rigid_motion(true_BL3, noisy_BL3)
            return (
                denoising_loss(score_BL3, within_BL3, sigma_B),
                denoising_loss(torch.zeros_like(score_BL3), within_BL3, sigma_B),
                denoising_loss(within_BL3, true_BL3, sigma_B),
            )


@dataclass
class Position:
    """Where a run is, beside its weights: plain numbers, as they go into a checkpoint."""

    step: int = 0
    structures: int = 0  # seen so far, on all workers
    sums: list[float] = field(default_factory=lambda: [0.0] * 6)  # of this worker since the last report
    history: list[dict[str, float]] = field(default_factory=list)  # the curve
    best_step: int = 0
    best_loss: float = math.inf  # on validation


def learning_rate(step: int, total: int, config: ScoreFitConfig) -> float:
    """Linear warm-up, then half a cosine down to 0 at the last step, or constant."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    if config.constant:
        return config.learning_rate
    done = (step - config.warmup) / max(total - config.warmup, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def fit(
    net_config: ScoreNetConfig,
    config: ScoreFitConfig,
    total: int,
    steps: Callable[[int], Iterator[Share]],
    calibration: list[Crops],
    validation: list[Crops],
    report: Callable[[dict[str, float], dict | None], None],
    resume: dict | None = None,
    world: World = World(),  # noqa: B008  (frozen)
) -> dict:
    """Train and return the last state; its ``"best"`` are the weights with the lowest validation loss.

    `steps(step)` yields this worker's share of the steps from there on; `total` of them are taken.  All workers call
    `report(metrics, state)` together: every `validate_every` steps and at the end with a state, else with ``step`` and
    ``of`` alone.  A state given back as `resume` continues exactly there: no step has randomness but that of its crops.

    Raises
    ------
    NonFiniteLossError
        As soon as a loss or a gradient is not finite, with the ids of the chains; nothing was changed by them.
    """
    torch.manual_seed(key(config.seed, "score net"))
    net = ScoreNet(net_config).to(memory_format=torch.channels_last).to(world.device)  # type: ignore[call-overload]
    average = copy.deepcopy(net)
    denoising = world.wrap(Denoising(net))
    optimizer = torch.optim.Adam(net.parameters(), lr=config.learning_rate, fused=True)
    at, best = Position(), net.state_dict()
    if resume:
        net.load_state_dict(resume["model"])
        average.load_state_dict(resume["average"])
        optimizer.load_state_dict(resume["optimizer"])
        at, best = Position(**copy.deepcopy(resume["position"])), resume["best"]
    clock, structures_then = time.monotonic(), at.structures
    state: dict = resume or {}
    shares = steps(at.step)
    while at.step < total:
        share = next(shares)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(at.step, total, config)
        found = _update(denoising, optimizer, share, config, world)
        at.sums = [old + new for old, new in zip(at.sums, found, strict=True)]
        at.step, at.structures = at.step + 1, at.structures + config.batch
        _follow(average, net, min(config.ema, at.step / (10 + at.step)))
        if at.step % config.validate_every and at.step < total:
            report({"step": at.step, "of": total}, None)
            continue
        metrics: dict[str, float] = {"step": at.step, "of": total} | _train_metrics(world.sum(at.sums))
        metrics["train/world_size"] = world.size
        metrics["train/learning_rate"] = learning_rate(at.step - 1, total, config)
        metrics["train/structures_per_second"] = (at.structures - structures_then) / (time.monotonic() - clock)
        calibrate(average, calibration, config, world)
        metrics |= validate(average, validation, config, world)
        at.history.append(metrics)
        if metrics["validation/loss"] < at.best_loss:
            at.best_step, at.best_loss = at.step, metrics["validation/loss"]
            best = {name: value.clone() for name, value in average.state_dict().items()}
        at.sums, clock, structures_then = [0.0] * len(at.sums), time.monotonic(), at.structures
        state = {
            "model": net.state_dict(), "average": average.state_dict(), "best": best,
            "optimizer": optimizer.state_dict(), "position": asdict(at),
        }  # fmt: skip
        report(metrics, state)
    return state


def _update(
    denoising: nn.Module, optimizer: torch.optim.Optimizer, share: Share, config: ScoreFitConfig, world: World
) -> list[float]:
    """Take one step on the mean loss per coordinate of all workers' crops; returns this worker's `Position.sums`."""
    parts = []
    for number, crops in enumerate(share.batches, start=1):
        last = number == len(share.batches)
        unsynced = denoising.no_sync() if isinstance(denoising, DistributedDataParallel) and not last else nullcontext()
        with unsynced:
            loss_B, zero_B, rigid_B = forward(denoising, crops, config, world)
            # relative to the loss of a zero score, 3 L / 2; DDP averages over workers, this is the global mean
            (loss_B.sum() * world.size / (1.5 * share.residues)).backward()
        parts.append(torch.stack([loss_B.detach(), zero_B, rigid_B, torch.ones_like(zero_B)]))
    found_4S = torch.cat(parts, dim=1)
    ids = [id for crops in share.batches for id in crops.ids]
    broken = [id for id, loss in zip(ids, found_4S[0].tolist(), strict=True) if not math.isfinite(loss)]
    if broken:
        raise NonFiniteLossError(_not_finite("loss", broken))
    norm = nn.utils.clip_grad_norm_(denoising.parameters(), config.clip).item()
    if not math.isfinite(norm):
        world.sum([0.0])  # a worker whose loss is to blame has raised above, and is the one to be heard
        raise NonFiniteLossError(_not_finite("gradient", ids))
    optimizer.step()
    optimizer.zero_grad()
    return [*found_4S.sum(dim=1).tolist(), norm, 1.0]


def _not_finite(what: str, ids: list[str]) -> str:
    named = ", ".join(dict.fromkeys(ids))
    return f"the {what} is not finite with the chains {named}: lower the learning rate, or switch bf16 off"


def forward(denoising: nn.Module, crops: Crops, config: ScoreFitConfig, world: World) -> tuple[Tensor, Tensor, Tensor]:
    """The three losses of each structure in `crops`; raises NonFiniteLossError if its coordinates are no numbers."""
    beyond = [id for id, ca_L3 in zip(crops.ids, crops.ca_BL3, strict=True) if not (np.abs(ca_L3) < FARTHEST).all()]
    if beyond:
        raise NonFiniteLossError(
            f"the loss is not finite with the chains {', '.join(dict.fromkeys(beyond))}: C-alpha coordinates are "
            f"missing, infinite or beyond {FARTHEST:,.0f} Å; leave these chains out"
        )
    arrays = (crops.codes_BL, crops.index_BL, crops.ca_BL3, crops.noise_BL3, crops.level_B, crops.sigma_B)
    tensors = [torch.from_numpy(np.ascontiguousarray(array)).to(world.device) for array in arrays]
    with torch.autocast(torch.device(world.device).type, dtype=torch.bfloat16, enabled=config.bf16 and has_bf16()):
        return denoising(*tensors)


@torch.no_grad()
def _follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    """The running mean of the weights."""
    for mean, weight in zip(average.parameters(), net.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)


@torch.no_grad()
def calibrate(net: ScoreNet, batches: list[Crops], config: ScoreFitConfig, world: World) -> None:
    """Fix the statistics of every norm to their mean over `batches`, each normalised as in training.

    For these very weights, whatever they were averaged from; and the same for any number of workers, since sums are.
    """
    norms = [module for module in net.modules() if isinstance(module, ConditionalNorm)]
    sums = {norm: [torch.zeros_like(norm.mean_C), torch.zeros_like(norm.var_C)] for norm in norms}

    def add(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x_BCLL = inputs[0].float()
        sums[norm][0] += x_BCLL.mean(dim=(0, 2, 3))  # type: ignore[index]
        sums[norm][1] += x_BCLL.square().mean(dim=(0, 2, 3))  # type: ignore[index]

    hooks = [norm.register_forward_pre_hook(add) for norm in norms]
    net.train()
    for crops in batches[world.rank :: world.size]:
        forward(Denoising(net), crops, config, world)
    for hook in hooks:
        hook.remove()
    flat = world.sum([value for norm in norms for part in sums[norm] for value in part.tolist()])
    means = iter(
        torch.tensor(flat, dtype=torch.float64).div(len(batches)).split([len(p) for n in norms for p in sums[n]])
    )
    for norm in norms:
        mean_C, square_C = next(means), next(means)
        norm.mean_C.copy_(mean_C)
        norm.var_C.copy_((square_C - mean_C.square()).clamp(min=0))
    net.eval()


@torch.no_grad()
def validate(net: ScoreNet, batches: list[Crops], config: ScoreFitConfig, world: World) -> dict[str, float]:
    """Losses over all crops of `batches`, shared among the workers: in all, and of each noise level."""
    levels = net.config.noise.levels
    sums_K5 = torch.zeros(levels, 5, dtype=torch.float64)  # what `_scores` takes
    denoising = Denoising(net)
    for crops in batches[world.rank :: world.size]:
        of_B = forward(denoising, crops, config, world)
        if not of_B[0].isfinite().all():
            raise NonFiniteLossError(f"the validation loss is not finite, with the chains {', '.join(set(crops.ids))}")
        length_B = torch.full_like(of_B[0], crops.codes_BL.shape[1])
        rows_B5 = torch.stack([*of_B, torch.ones_like(length_B), length_B], dim=1)
        sums_K5.index_add_(0, torch.from_numpy(crops.level_B), rows_B5.double().cpu())
    sums_K5 = torch.tensor(world.sum(sums_K5.flatten().tolist()), dtype=torch.float64).view(levels, 5)
    found = {f"validation/{name}": value for name, value in _scores(*sums_K5.sum(dim=0).tolist()).items()}
    for level, sums_5 in enumerate(sums_K5.tolist(), start=1):
        of_level = _scores(*sums_5)
        found |= {f"validation/level_{level:02d}/{name}": of_level[name] for name in ("loss", "explained")}
    return found


def _scores(loss: float, zero: float, rigid: float, structures: float, residues: float) -> dict[str, float]:
    """What sums over structures say: losses without rigid motions, of ours and of a score of zero, and the motions.

    loss : Eq. 5 of one structure
    loss_over_zero : the same over the expected loss of a zero score, 3 L / 2
    loss_over_floor : the same over what the rigid motions cost, which no score can do without
    explained : share of the noise within reach that the score explains; 0 for a score of zero
    """
    if not structures:
        return dict.fromkeys(("loss", "loss_over_zero", "loss_over_floor", "explained"), math.nan)
    full = loss + rigid
    return {
        "loss": full / structures,
        "loss_over_zero": full / (1.5 * residues),
        "loss_over_floor": full / rigid,
        "explained": 1 - loss / zero,
    }


def _train_metrics(sums: list[float]) -> dict[str, float]:
    loss, zero, rigid, structures, norms, steps = sums
    return {
        "train/loss": (loss + rigid) / structures,
        "train/explained": 1 - loss / zero,
        "train/gradient_norm": norms / steps,
    }
