"""Masked logits of ESM models with less work and the same numbers as one plain forward per masked copy.

Masked copies of a protein differ in one token.  So the first layer's queries, keys, values and most of its attention
are computed once for the protein and once for the mask, and the last layer needs keys and values everywhere but all
else only at the masked position: for n layers, about n - 1.1 layers' worth of matrix products are left.

Copies with several masks share what is left of that: the first layer's queries, keys and values.

Shape key:  M masked copies in a batch   R positions that a copy masks   T tokens
            H heads   D channels of a head   P pairs of channels   C channels
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any  # the modules of Transformers, whose attributes no type checker knows

import torch
from torch import Tensor
from torch.nn import functional as F

from protray.plm.passes.shared_attention import SharedAttention

TOKEN_DROPOUT_SHARE = 0.12  # 15 % x 80 %: the share of mask tokens that ESM-2 saw in training (Lin et al. 2023)


def supports(model: Any) -> bool:
    """True for EsmForMaskedLM with rotary positions: ESM-2's shape, and that of the models we train."""
    config = getattr(model, "config", None)
    return getattr(config, "model_type", "") == "esm" and getattr(model.esm, "rotary_embeddings", None) is not None


@dataclass(frozen=True)
class Rotary:
    """Rotary positions (Su et al. 2021) as complex factors of pairs of channels, which stand next to each other."""

    heads: int
    pairs_C: Tensor  # channels of the model in this order
    turn_TP: Tensor

    @classmethod
    def of(cls, model: Any, tokens_T: Tensor) -> "Rotary":
        heads, device = model.config.num_attention_heads, tokens_T.device
        positions_1T, like = torch.arange(len(tokens_T), device=device)[None], torch.empty(0, device=device)  # float32
        cos_TD, sin_TD = (x_1TD[0] for x_1TD in model.esm.rotary_embeddings(like, positions_1T))
        size = cos_TD.shape[-1]
        turn_TP = torch.complex(cos_TD, sin_TD)[:, : size // 2].repeat(1, heads)
        channels_H2P = torch.arange(size * heads, device=device).view(heads, 2, size // 2)
        return cls(heads, channels_H2P.transpose(1, 2).flatten(), turn_TP)

    def turned(self, x: Tensor, turn: Tensor) -> Tensor:
        """(.., C) in float32 and in the order of `pairs_C`, overwritten -> (.., H, D)."""
        x = torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2))).mul_(turn)).flatten(-2)
        return in_heads(x, self.heads)


@dataclass(frozen=True)
class Shared:
    """What all copies of a protein with as many masks have in common."""

    base_TC: Tensor  # embeddings of the unmasked protein
    mask_C: Tensor  # and of the mask
    own_THD: list[Tensor]  # first layer's queries, keys and values of the unmasked protein
    mask_THD: list[Tensor]  # and those that the mask would have at each position
    attention: SharedAttention | None  # of the first layer, for copies with one mask

    def copies(self, positions_MR: Tensor) -> Tensor:
        """Embeddings of copies that mask these positions, shape (M, T, C)."""
        return _put(self.base_TC, self.mask_C, positions_MR)

    def context(self, positions_MR: Tensor) -> Tensor:
        """What each token gets from the first layer's attention, shape (M, T, H, D)."""
        if self.attention is not None:  # a batch masks neighbouring positions
            return self.attention.context(int(positions_MR[0]), int(positions_MR[-1]) + 1)
        both = zip(self.own_THD, self.mask_THD, strict=True)
        query, key, value = (_put(own_THD, mask_THD[positions_MR], positions_MR) for own_THD, mask_THD in both)
        return attend(query, key, value)


def _put(own: Tensor, mask: Tensor, positions_MR: Tensor) -> Tensor:
    """M copies of (T, ..) with something else at some positions."""
    copies = own.repeat(len(positions_MR), *[1] * own.ndim)
    copies[places(positions_MR)] = mask
    return copies


def places(positions_MR: Tensor) -> tuple[Tensor, Tensor]:
    """Where copies are masked, as indices into (M, T, ..)."""
    return torch.arange(len(positions_MR), device=positions_MR.device)[:, None], positions_MR


def reader(model: Any, tokens_T: Tensor, mask_token: int) -> Callable[[Tensor], Tensor]:
    """Positions (M, R) that each of M copies masks -> logits there, shape (M R, vocabulary).

    Where R = 1, the positions of a call are neighbours.  Under autocast, what costs little stays in float32 all the
    same: the first layer's attention, and the last layer behind its attention, with the head.
    """
    rotary, shared = Rotary.of(model, tokens_T), sharing(model, tokens_T, mask_token)
    return lambda positions_MR: _read(model, shared(positions_MR.shape[1]), rotary, positions_MR)


def _read(model: Any, shared: Shared, rotary: Rotary, positions_MR: Tensor) -> Tensor:
    layers, masked = model.esm.encoder.layer, places(positions_MR)
    hidden_MTC = shared.copies(positions_MR)
    with _float32(hidden_MTC):
        context_MTHD = shared.context(positions_MR)
    for before, layer in zip(layers[:-1], layers[1:], strict=True):
        hidden_MTC = finish(before, hidden_MTC, context_MTHD)
        attention, normed_MTC = layer.attention.self, layer.attention.LayerNorm(hidden_MTC)
        key = rotary.turned(_project(attention.key, normed_MTC, rotary.pairs_C), rotary.turn_TP)
        value = in_heads(_project(attention.value, normed_MTC), rotary.heads)
        if layer is layers[-1]:
            query = _project(attention.query, normed_MTC[masked], rotary.pairs_C)
            query = rotary.turned(query, rotary.turn_TP[positions_MR])
        else:
            query = rotary.turned(_project(attention.query, normed_MTC, rotary.pairs_C), rotary.turn_TP)
        context_MTHD = attend(query, key, value)
    context_MRHD = context_MTHD if len(layers) > 1 else context_MTHD[masked]
    with _float32(hidden_MTC):
        hidden_MRC = finish(layers[-1], hidden_MTC[masked], context_MRHD.float())
        return model.lm_head(model.esm.encoder.emb_layer_norm_after(hidden_MRC)).flatten(0, 1)


def finish(layer: Any, hidden: Tensor, context: Tensor) -> Tensor:
    """What follows the attention of a layer: (.., C), overwritten, and (.., H, D) -> (.., C)."""
    hidden.add_(layer.attention.output.dense(context.flatten(-2)))
    return hidden.add_(layer.output.dense(F.gelu(layer.intermediate.dense(layer.LayerNorm(hidden)))))


def sharing(model: Any, tokens_T: Tensor, mask_token: int) -> Callable[[int], Shared]:
    """Number of masks in a copy -> what does not depend on where they are; computed once for each number."""
    rotary, first = Rotary.of(model, tokens_T), model.esm.encoder.layer[0].attention

    @cache
    def shared(masks: int) -> Shared:
        base_TC, mask_C = embed(model, tokens_T, mask_token, masks)
        with _float32(base_TC):
            normed_TC = first.LayerNorm(torch.cat([base_TC, mask_C[None]]))
            query, key = (_project(linear, normed_TC, rotary.pairs_C) for linear in (first.self.query, first.self.key))
            value_THD = in_heads(_project(first.self.value, normed_TC), rotary.heads)
            own = [rotary.turned(x[:-1].clone(), rotary.turn_TP) for x in (query, key)]
            mask = [rotary.turned(x[-1:].repeat(len(tokens_T), 1), rotary.turn_TP) for x in (query, key)]
            own, mask = [*own, value_THD[:-1]], [*mask, value_THD[-1:].expand_as(own[0])]
            return Shared(base_TC, mask_C, own, mask, SharedAttention.of(own, mask) if masks == 1 else None)

    return shared


def embed(model: Any, tokens_T: Tensor, mask_token: int, masks: int) -> tuple[Tensor, Tensor]:
    """Embeddings of the unmasked protein (T, C) and of the mask (C,), scaled as in a copy with so many masks."""
    embeddings = model.esm.embeddings
    base_TC = embeddings.word_embeddings(tokens_T)
    mask_C = embeddings.word_embeddings.weight[mask_token]
    if embeddings.token_dropout:
        base_TC = base_TC * (1 - TOKEN_DROPOUT_SHARE) / (1 - masks / len(tokens_T))
        mask_C = torch.zeros_like(mask_C)
    if embeddings.layer_norm is not None:
        base_TC, mask_C = embeddings.layer_norm(base_TC), embeddings.layer_norm(mask_C)
    return base_TC, mask_C


def _float32(like: Tensor) -> torch.autocast:
    return torch.autocast(like.device.type, enabled=False)


def _project(linear: Any, x: Tensor, order: Tensor | slice = slice(None)) -> Tensor:
    """Channels in this order.  The bias, which may be far larger than what it is added to, is added in float32."""
    return F.linear(x, linear.weight[order]).float().add_(linear.bias[order])


def in_heads(x: Tensor, heads: int) -> Tensor:
    """(.., C) -> (.., H, D)."""
    return x.unflatten(-1, (heads, -1))


def attend(query_MTHD: Tensor, key_MTHD: Tensor, value_MTHD: Tensor, scale: float | None = None) -> Tensor:
    """Attention with scores times `scale`, by default 1 / sqrt(D)."""
    query, key, value = (x_MTHD.transpose(1, 2) for x_MTHD in (query_MTHD, key_MTHD, value_MTHD))
    return F.scaled_dot_product_attention(query, key, value, scale=scale).transpose(1, 2)
