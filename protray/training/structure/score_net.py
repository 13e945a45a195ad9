"""Train the score network on denoising, Eq. 5 (Guo et al., AAAI 2022), and keep the best running mean of its weights.

Shape key:  B crops   L residues   C channels   K noise levels
"""

import copy
import functools
import math
import threading
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from protray.losses.score import coordinate_score, denoising_loss, perturb, true_score
from protray.models.score.score_config import ScoreNetConfig
from protray.models.score.score_layers import moments
from protray.models.score.score_net import ConditionalNorm, ScoreNet
from protray.plm.masked import has_bf16
from protray.seq.keyed import key
from protray.struct.geometry import distances, without_rigid_motion
from protray.training.errors import NonFiniteLossError
from protray.training.progress import Progress, Report, Sums
from protray.training.structure.score_steps import Crops, ScoreFitConfig, Share
from protray.training.threads import Map, side_by_side
from protray.training.updates import descend, follow, learning_rate, summed
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


def fit(
    net_config: ScoreNetConfig,
    config: ScoreFitConfig,
    total: int,
    steps: Callable[[int], Iterator[Share]],
    calibration: list[Crops],
    validation: list[Crops],
    report: Report,
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
    optimizer = torch.optim.Adam(net.parameters(), lr=config.learning_rate, fused=True)
    parts = {"model": net, "average": average, "optimizer": optimizer}
    progress, last = Progress(parts, "average", total, report, resume), math.nan
    shares = steps(progress.step)
    try:
        with side_by_side(world.device) as at_once:
            while not progress.ended:
                rate = learning_rate(progress.step, total, config)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                found = _update(net, optimizer, next(shares), config, world, at_once)
                last = found["loss"][0] / found["loss"][1]
                progress.add(found)
                follow(average, net, min(config.ema, progress.step / (10 + progress.step)))
                if not progress.due(config.validate_every):
                    progress.tell()
                    continue
                metrics = progress.means(world) | {"train/world_size": world.size, "train/learning_rate": rate}
                metrics["train/structures_per_second"] = progress.steps_per_second * config.batch
                calibrate(average, calibration, config, world, at_once)
                progress.point(metrics | validate(average, validation, config, world, at_once))
    except NonFiniteLossError as error:
        raise NonFiniteLossError.at(f"after step {progress.step} of {total}", str(error), last) from None
    return progress.state


def _update(
    net: ScoreNet, optimizer: torch.optim.Optimizer, share: Share, config: ScoreFitConfig, world: World, at_once: Map
) -> Sums:
    """Take one step on the mean loss per coordinate of all workers' crops; returns this worker's sums and counts."""
    denoising, weights = Denoising(net.train()), list(net.parameters())

    def gradient(crops: Crops) -> tuple[tuple[Tensor, ...], Tensor]:
        loss_B, zero_B, rigid_B = forward(denoising, crops, config, world)
        relative = loss_B.sum() / (1.5 * share.residues)  # to the loss of a zero score, 3 L / 2
        return torch.autograd.grad(relative, weights), torch.stack([loss_B.detach(), zero_B, rigid_B])

    gradients, found = summed(weights, at_once(gradient, share.batches), world)
    found_3S = torch.cat(found, dim=1)
    ids = [id for crops in share.batches for id in crops.ids]
    broken = [id for id, loss in zip(ids, found_3S[0].tolist(), strict=True) if not math.isfinite(loss)]
    if broken:
        raise NonFiniteLossError(_not_finite("loss", broken))
    norm = descend(optimizer, weights, gradients, config.clip)
    if not math.isfinite(norm):
        world.sum([0.0])  # a worker whose loss is to blame has raised above, and is the one to be heard
        raise NonFiniteLossError(_not_finite("gradient", ids))
    loss, zero, rigid = found_3S.sum(dim=1).tolist()
    return {"loss": (loss + rigid, len(ids)), "explained": (zero - loss, zero), "gradient_norm": (norm, 1.0)}


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
def calibrate(net: ScoreNet, batches: list[Crops], config: ScoreFitConfig, world: World, at_once: Map = map) -> None:
    """Fix the statistics of every norm to their mean over `batches`, each normalised as in training.

    For these very weights, whatever they were averaged from; and the same for any number of workers, since sums are.
    """
    norms = [module for module in net.modules() if isinstance(module, ConditionalNorm)]
    seen = threading.local()  # statistics of a batch, norm by norm in the order of the network

    def add(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        mean_C, var_C = moments(inputs[0])
        seen.parts += [mean_C, var_C + mean_C.square()]

    @torch.no_grad()
    def statistics(crops: Crops) -> Tensor:
        seen.parts = []
        forward(Denoising(net), crops, config, world)
        return torch.cat(seen.parts).double().cpu()

    hooks = [norm.register_forward_pre_hook(add) for norm in norms]
    net.train()
    found = list(at_once(statistics, batches[world.rank :: world.size]))
    for hook in hooks:
        hook.remove()
    sizes = [len(norm.mean_C) for norm in norms for _ in range(2)]
    sums = torch.stack(found).sum(dim=0) if found else torch.zeros(sum(sizes), dtype=torch.float64)
    means = iter(torch.tensor(world.sum(sums.tolist()), dtype=torch.float64).div(len(batches)).split(sizes))
    for norm in norms:
        mean_C, square_C = next(means), next(means)
        norm.mean_C.copy_(mean_C)
        norm.var_C.copy_((square_C - mean_C.square()).clamp(min=0))
    net.eval()


@torch.no_grad()
def validate(
    net: ScoreNet, batches: list[Crops], config: ScoreFitConfig, world: World, at_once: Map = map
) -> dict[str, float]:
    """Losses over all crops of `batches`, shared among the workers: in all, and of each noise level."""
    levels = net.config.noise.levels
    sums_K5 = torch.zeros(levels, 5, dtype=torch.float64)  # what `_scores` takes
    mine = batches[world.rank :: world.size]
    losses = torch.no_grad()(functools.partial(forward, Denoising(net), config=config, world=world))
    for crops, of_B in zip(mine, at_once(losses, mine), strict=True):
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
