"""Pre-train a protein language model to fill in masked residues (Devlin et al. 2018, with the ESM architecture)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any  # models of Transformers, whose attributes no type checker knows

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.plm.masking import MaskedBatch
from protray.plm.tokens import ESM_TOKENS, MASK, PADDING
from protray.training.world import World

# hidden size, layers, heads: `mini` (0.8 M parameters) and `tiny` (1.6 M) fit a package, the others have ESM-2's
# shapes (Lin et al. 2023)
SIZES = {"mini": (128, 4, 8), "tiny": (160, 5, 5), "8m": (320, 6, 20), "35m": (480, 12, 20)}


@dataclass(frozen=True, kw_only=True)
class MaskedLmConfig:
    """How to pre-train; the batch is global, whatever the number of workers."""

    size: str = "mini"
    steps: int = 6500
    per_step: int = 32  # sequences in a global batch
    crop: int = 128  # residues of a sequence that one step sees
    learning_rate: float = 1.5e-3  # peak, after `warmup` steps
    warmup: int = 300
    weight_decay: float = 0.01
    clip: float = 1.0  # largest norm of the gradient
    bf16: bool = True  # matrix products in bfloat16, weights and optimiser in float32
    compile: bool = False  # torch.compile the encoder: about 1.2 times the speed on a CPU, needs a C++ compiler
    seed: int = 0
    report_every: int = 200  # steps

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ValueError(f"size must be one of {sorted(SIZES)}, got {self.size!r}")
        if not 0 < self.warmup < self.steps:
            raise ValueError(f"warmup must lie between 0 and steps = {self.steps}, got {self.warmup}")


def build_model(config: MaskedLmConfig) -> Any:
    """Return an EsmForMaskedLM of the asked size with fresh weights, the same for the same seed."""
    from transformers import EsmConfig, EsmForMaskedLM

    hidden, layers, heads = SIZES[config.size]
    torch.manual_seed(config.seed)
    model: Any = EsmForMaskedLM(
        EsmConfig(
            vocab_size=len(ESM_TOKENS),
            mask_token_id=MASK,
            pad_token_id=PADDING,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            position_embedding_type="rotary",
            token_dropout=False,  # its rescaling by the share of masks differs between training and one mask at a time
            emb_layer_norm_before=False,
            hidden_dropout_prob=0.0,  # few passes over the data: nothing to over-fit
            attention_probs_dropout_prob=0.0,
            max_position_embeddings=1026,
            initializer_range=0.05,  # Transformers' 0.02 is meant for widths near 768
        )
    )
    for layer in model.esm.encoder.layer[:2]:
        attend_to_neighbours(layer.attention.self)
    return model


NEIGHBOURS = (-4, -3, -2, -1, 1, 2, 3, 4)  # about a helix turn to either side
SHARPNESS = 6.0  # logit of the wanted neighbour for each rotary frequency: it gets about 70 % of the attention


@torch.no_grad()
def attend_to_neighbours(attention: Any) -> None:
    r"""Start each head at one neighbour along the chain: a fresh network then begins as a convolution, not as a mean.

    With rotary positions a constant query q and key k give the logit
    :math:`\sum_f a \cos(\theta_f (j - i - \delta))`, highest at :math:`j = i + \delta`, if k is q turned back by
    :math:`\theta_f \delta`.  Both are biases, so training may unlearn them.  The idea is ConViT's (d'Ascoli et al.
    2021); without it a small model stays at the amino-acid frequencies for thousands of steps.
    """
    size, half = attention.attention_head_size, attention.attention_head_size // 2
    rates = 10000.0 ** (-torch.arange(half) / half)
    length = (SHARPNESS * size**0.5) ** 0.5  # queries are divided by sqrt(size)
    for head in range(attention.num_attention_heads):
        turn = rates * NEIGHBOURS[head % len(NEIGHBOURS)]
        own = slice(head * size, (head + 1) * size)
        attention.query.bias[own] = torch.cat([torch.full((half,), length), torch.zeros(half)])
        attention.key.bias[own] = length * torch.cat([turn.cos(), -turn.sin()])


def learning_rate(step: int, config: MaskedLmConfig) -> float:
    """Linear warm-up, then half a cosine down to a thousandth of the peak at the last step."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / (config.steps - config.warmup)
    return config.learning_rate * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * done)))


class MaskedLoss(nn.Module):
    """Sum of the cross-entropies at masked positions; only those enter the model's head."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
        asked_BT = targets_BT >= 0
        model: Any = self.model
        hidden_BTC = model.esm(tokens_BT, attention_mask=(tokens_BT != PADDING).long())[0]
        logits = model.lm_head(hidden_BTC[asked_BT])
        return F.cross_entropy(logits.float(), targets_BT[asked_BT], reduction="sum")


def fit(
    config: MaskedLmConfig,
    batches: Callable[[int], Iterator[MaskedBatch]],
    validation: list[MaskedBatch],
    report: Callable[[dict[str, float], dict], None],
    resume: dict | None = None,
    world: World = World(),  # noqa: B008  (frozen)
) -> Any:
    """Train and return the model.

    `batches(step)` yields this worker's share of the global batches from a step on; `report(metrics, state)` is
    called every `report_every` steps by all workers, and `state` given back as `resume` continues exactly there.
    """
    model = build_model(config)
    loss_of = world.wrap(MaskedLoss(model))
    if config.compile:
        model.esm.compile(dynamic=False)
    optimizer = torch.optim.AdamW(loss_of.parameters(), betas=(0.9, 0.98), weight_decay=config.weight_decay)
    step = 0
    if resume:
        model.load_state_dict(resume["model"])
        optimizer.load_state_dict(resume["optimizer"])
        step = resume["step"]
    sums = [0.0, 0.0]  # nats and masked residues since the last report
    for batch in batches(step):
        if step >= config.steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        nats, asked = _forward(loss_of, batch, config.bf16, world)
        [asked_everywhere] = world.sum([asked])
        (nats * world.size / asked_everywhere).backward()  # DDP averages over workers; this is the global mean
        nn.utils.clip_grad_norm_(loss_of.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        sums = [sums[0] + nats.item(), sums[1] + asked]
        if step % config.report_every == 0 or step == config.steps:
            train_nats, train_asked = world.sum(sums)
            metrics = {
                "step": step,
                "train/perplexity": math.exp(train_nats / train_asked),
                "validation/perplexity": hidden_perplexity(model, validation, config.bf16, world),
                "learning_rate": learning_rate(step - 1, config),
            }
            report(metrics, {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step})
            sums = [0.0, 0.0]
    return model


def hide(batch: MaskedBatch) -> MaskedBatch:
    """The same batch with the mask token at every residue that is asked for."""
    return replace(batch, tokens_BT=np.where(batch.targets_BT >= 0, MASK, batch.tokens_BT))


def _forward(loss_of: nn.Module, batch: MaskedBatch, bf16: bool, world: World) -> tuple[Tensor, float]:
    tokens_BT = torch.from_numpy(batch.tokens_BT).to(world.device)
    targets_BT = torch.from_numpy(batch.targets_BT).to(world.device)
    with torch.autocast(torch.device(world.device).type, dtype=torch.bfloat16, enabled=bf16):
        nats = loss_of(tokens_BT, targets_BT)
    return nats, float((batch.targets_BT >= 0).sum())


@torch.no_grad()
def hidden_perplexity(model: Any, validation: list[MaskedBatch], bf16: bool, world: World) -> float:
    """exp(mean cross-entropy) over the residues to guess in all validation batches, every one of them hidden.

    The tenth that training leaves as it is can be copied, which would make the number look better than a map is.
    """
    loss_of = MaskedLoss(model).eval()
    parts = [_forward(loss_of, hide(batch), bf16, world) for batch in validation]
    loss_of.train()
    return math.exp(sum(nats.item() for nats, _ in parts) / sum(asked for _, asked in parts))
