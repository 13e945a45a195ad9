"""Masked logits of ESM models with less work and the same numbers as one plain forward per masked copy.

Masked copies of a protein differ in one token.  So the first layer's queries, keys, values and most of its attention
are computed once for the protein and once for the mask, and the last layer needs keys and values everywhere but all
else only at the masked position: for n layers, about n - 1.1 layers' worth of matrix products are left.

Shape key:  M masked copies in a batch   T tokens   H heads   D channels of a head   C channels
"""

from dataclasses import dataclass
from typing import Any  # the modules of Transformers, whose attributes no type checker knows

import torch
from torch import Tensor
from torch.nn import functional as F

from protray.plm.shared_attention import SharedAttention

TOKEN_DROPOUT_SHARE = 0.12  # 15 % x 80 %: the share of mask tokens that ESM-2 saw in training (Lin et al. 2023)


def supports(model: Any) -> bool:
    """True for EsmForMaskedLM with rotary positions: ESM-2's shape, and that of the models we train."""
    config = getattr(model, "config", None)
    return getattr(config, "model_type", "") == "esm" and getattr(model.esm, "rotary_embeddings", None) is not None


@dataclass(frozen=True)
class Shared:
    """What all masked copies of a protein have in common."""

    base_TC: Tensor  # embeddings of the unmasked protein
    mask_C: Tensor  # and of the mask
    cos_T1D: Tensor  # of the rotary positions
    sin_T1D: Tensor
    attention: SharedAttention  # of the first layer


def masked_logits(model: Any, tokens_T: Tensor, positions: range, mask_token: int, at_once: int) -> Tensor:
    """Logits at each of `positions`, it alone being masked, shape (positions, vocabulary).

    `at_once` copies go through the network together.  Under autocast, what costs little stays in float32 all the same:
    the first layer's attention, and the last layer behind its attention, with the head.
    """
    with _float32(tokens_T):
        shared = share(model, tokens_T, mask_token)
    starts = range(positions.start, positions.stop, at_once)
    return torch.cat([_some(model, shared, start, min(start + at_once, positions.stop)) for start in starts])


def _some(model: Any, shared: Shared, start: int, stop: int) -> Tensor:
    """Logits at the tokens `start`, ..., `stop` - 1, each masked in its own copy; shape (M, vocabulary)."""
    layers, heads = model.esm.encoder.layer, model.config.num_attention_heads
    cos_T1D, sin_T1D = shared.cos_T1D, shared.sin_T1D
    copies_M = torch.arange(stop - start, device=shared.base_TC.device)
    masked = copies_M, start + copies_M
    hidden_MTC = shared.base_TC.repeat(len(copies_M), 1, 1)
    hidden_MTC[masked] = shared.mask_C
    with _float32(hidden_MTC):
        context_MTHD = shared.attention.context(start, stop)
    for before, layer in zip(layers[:-1], layers[1:], strict=True):
        hidden_MTC = finish(before, hidden_MTC, context_MTHD)
        attention, normed_MTC = layer.attention.self, layer.attention.LayerNorm(hidden_MTC)
        key = _rotate(in_heads(_project(attention.key, normed_MTC), heads), cos_T1D, sin_T1D)
        value = in_heads(_project(attention.value, normed_MTC), heads)
        if layer is layers[-1]:
            query = in_heads(_project(attention.query, normed_MTC[masked]), heads)[:, None]
            query = _rotate(query, cos_T1D[start:stop, None], sin_T1D[start:stop, None])
        else:
            query = _rotate(in_heads(_project(attention.query, normed_MTC), heads), cos_T1D, sin_T1D)
        context_MTHD = attend(query, key, value)
    context_MHD = context_MTHD[:, 0] if len(layers) > 1 else context_MTHD[masked]
    with _float32(hidden_MTC):
        hidden_MC = finish(layers[-1], hidden_MTC[masked], context_MHD.float())
        return model.lm_head(model.esm.encoder.emb_layer_norm_after(hidden_MC))


def finish(layer: Any, hidden: Tensor, context: Tensor) -> Tensor:
    """What follows the attention of a layer: (.., C) and (.., H, D) -> (.., C)."""
    hidden = hidden + layer.attention.output.dense(context.flatten(-2))
    return hidden + layer.output.dense(F.gelu(layer.intermediate.dense(layer.LayerNorm(hidden))))


def share(model: Any, tokens_T: Tensor, mask_token: int) -> Shared:
    """Compute what does not depend on the position that is masked."""
    base_TC, mask_C = _embed(model, tokens_T, mask_token)
    cos_T1D, sin_T1D = _rotary(model.esm, base_TC)
    first, heads = model.esm.encoder.layer[0].attention, model.config.num_attention_heads
    normed_TC = first.LayerNorm(torch.cat([base_TC, mask_C[None]]))
    query, key, value = (
        in_heads(project(normed_TC), heads) for project in (first.self.query, first.self.key, first.self.value)
    )
    own = [_rotate(query[:-1], cos_T1D, sin_T1D), _rotate(key[:-1], cos_T1D, sin_T1D), value[:-1]]
    mask = [_rotate(query[-1:], cos_T1D, sin_T1D), _rotate(key[-1:], cos_T1D, sin_T1D), value[-1:].expand_as(own[2])]
    return Shared(base_TC, mask_C, cos_T1D, sin_T1D, SharedAttention.of(own, mask))


def _embed(model: Any, tokens_T: Tensor, mask_token: int) -> tuple[Tensor, Tensor]:
    """Embeddings of the unmasked protein (T, C) and of the mask (C,), scaled as in a copy with one mask."""
    embeddings = model.esm.embeddings
    base_TC = embeddings.word_embeddings(tokens_T)
    mask_C = embeddings.word_embeddings.weight[mask_token]
    if embeddings.token_dropout:
        base_TC = base_TC * (1 - TOKEN_DROPOUT_SHARE) / (1 - 1 / len(tokens_T))
        mask_C = torch.zeros_like(mask_C)
    if embeddings.layer_norm is not None:
        base_TC, mask_C = embeddings.layer_norm(base_TC), embeddings.layer_norm(mask_C)
    return base_TC, mask_C


def _float32(like: Tensor) -> torch.autocast:
    return torch.autocast(like.device.type, enabled=False)


def _project(linear: Any, x: Tensor) -> Tensor:
    """The bias, which may be far larger than what it is added to, is added in float32."""
    return F.linear(x, linear.weight).float() + linear.bias


def in_heads(x: Tensor, heads: int) -> Tensor:
    """(.., C) -> (.., H, D)."""
    return x.unflatten(-1, (heads, -1))


def _rotary(esm: Any, like_TC: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary positions (Su et al. 2021) as the model has them, shape (T, 1, D) each."""
    positions_1T = torch.arange(len(like_TC), device=like_TC.device)[None]
    cos_1TD, sin_1TD = esm.rotary_embeddings(like_TC.float(), positions_1T)
    return cos_1TD[0][:, None], sin_1TD[0][:, None]


def _rotate(x_THD: Tensor, cos_T1D: Tensor, sin_T1D: Tensor) -> Tensor:
    half = x_THD.shape[-1] // 2
    turned_THD = torch.cat([-x_THD[..., half:], x_THD[..., :half]], dim=-1)
    return x_THD * cos_T1D.to(x_THD.dtype) + turned_THD * sin_T1D.to(x_THD.dtype)


def attend(query_MTHD: Tensor, key_MTHD: Tensor, value_MTHD: Tensor, scale: float | None = None) -> Tensor:
    """Attention with scores times `scale`, by default 1 / sqrt(D)."""
    query, key, value = (x_MTHD.transpose(1, 2) for x_MTHD in (query_MTHD, key_MTHD, value_MTHD))
    return F.scaled_dot_product_attention(query, key, value, scale=scale).transpose(1, 2)
