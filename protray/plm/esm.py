"""Masked logits of ESM models with less work and the same numbers as one plain forward per masked copy.

Masked copies of a protein differ in one token.  So the first layer's queries, keys and values are computed once for
the protein and once for the mask, and the last layer needs keys and values everywhere but all else only at the masked
position: for n layers, about n - 1.1 layers' worth of matrix products are left.

Shape key:  M masked copies in a batch   T tokens   H heads   D channels of a head   C channels
"""

from typing import Any  # the modules of Transformers, whose attributes no type checker knows

import torch
from torch import Tensor
from torch.nn import functional as F

TOKEN_DROPOUT_SHARE = 0.12  # 15 % x 80 %: the share of mask tokens that ESM-2 saw in training (Lin et al. 2023)


def supports(model: Any) -> bool:
    """True for EsmForMaskedLM with rotary positions: ESM-2's shape, and that of the models we train."""
    config = getattr(model, "config", None)
    return getattr(config, "model_type", "") == "esm" and getattr(model.esm, "rotary_embeddings", None) is not None


def masked_logits(model: Any, tokens_T: Tensor, positions_M: Tensor, mask_token: int) -> Tensor:
    """Logits at each position in `positions_M`, that position being masked; shape (M, vocabulary)."""
    esm, layers = model.esm, model.esm.encoder.layer
    base_TC, mask_C = _embed(model, tokens_T, mask_token)
    copies_M = torch.arange(len(positions_M), device=tokens_T.device)
    cos_TD, sin_TD = _rotary(esm, base_TC)

    hidden_MTC = _spread(base_TC, mask_C, positions_M)
    for number, layer in enumerate(layers):
        last = number == len(layers) - 1
        if number == 0:
            normed_TC = layer.attention.LayerNorm(torch.cat([base_TC, mask_C[None]]))
            qkv_MTC = [_spread(part[:-1], part[-1], positions_M) for part in _project(layer, normed_TC)]
        else:
            qkv_MTC = _project(layer, layer.attention.LayerNorm(hidden_MTC))
        query, key, value = (_heads(part_MTC, layer.attention.self) for part_MTC in qkv_MTC)
        query, key = _rotate(query, cos_TD, sin_TD), _rotate(key, cos_TD, sin_TD)
        if last:
            hidden_MTC = hidden_MTC[copies_M, positions_M][:, None]
            query = query[copies_M, :, positions_M][:, :, None]
        context_MHTD = F.scaled_dot_product_attention(query, key, value)
        context_MTC = context_MHTD.transpose(1, 2).flatten(2)
        hidden_MTC = hidden_MTC + layer.attention.output.dense(context_MTC)
        normed_MTC = layer.LayerNorm(hidden_MTC)
        hidden_MTC = hidden_MTC + layer.output.dense(F.gelu(layer.intermediate.dense(normed_MTC)))
    return model.lm_head(esm.encoder.emb_layer_norm_after(hidden_MTC[:, 0]))


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


def _spread(base_TC: Tensor, mask_C: Tensor, positions_M: Tensor) -> Tensor:
    """One copy of the protein for each position, with the mask's row there; shape (M, T, C)."""
    copies_MTC = base_TC.repeat(len(positions_M), 1, 1)
    copies_MTC[torch.arange(len(positions_M), device=base_TC.device), positions_M] = mask_C
    return copies_MTC


def _project(layer: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    attention = layer.attention.self
    return attention.query(x), attention.key(x), attention.value(x)


def _heads(x_MTC: Tensor, attention: Any) -> Tensor:
    """(M, T, C) -> (M, H, T, D)."""
    return x_MTC.unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)


def _rotary(esm: Any, like_TC: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary positions (Su et al. 2021) as the model has them, shape (T, D) each."""
    positions_1T = torch.arange(len(like_TC), device=like_TC.device)[None]
    cos_1TD, sin_1TD = esm.rotary_embeddings(like_TC.float(), positions_1T)
    return cos_1TD[0], sin_1TD[0]


def _rotate(x_MHTD: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
    half = x_MHTD.shape[-1] // 2
    turned_MHTD = torch.cat([-x_MHTD[..., half:], x_MHTD[..., :half]], dim=-1)
    return x_MHTD * cos_TD.to(x_MHTD.dtype) + turned_MHTD * sin_TD.to(x_MHTD.dtype)
