r"""Masked logits of ESM models in bfloat16 on a CPU: `esm.py` with less rounding and faster attention.

A product of bfloat16 matrices is summed in float32 but comes out rounded to 8 bits.  That rounding, not the inputs', is
most of the error, and it is kept off what matters:

- A masked copy differs little from the unmasked protein.  Queries, keys and values come out as their difference
  :math:`W x - W x^0` to the unmasked protein's, which is added back in float32.
- The masked residue's row, the one that is read out, gets its queries and its attention in float32.
- Scores take keys as sums of two bfloat16 numbers, and are rounded after :math:`c_i` was subtracted:
  :math:`e_{ij} = \exp(q_i k_j - c_i)`, where the unmasked protein's second highest score :math:`c_i` stands for the
  maximum (not the highest: a copy may mask that one).  Where it is too far off, the batch gets ordinary attention.

Shape key:  M masked copies in a batch   R positions that a copy masks   T tokens
            H heads   D channels of a head   C channels
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any  # the modules of Transformers, whose attributes no type checker knows

import torch
from torch import Tensor
from torch.nn import functional as F

from protray.plm.passes import esm

# Sums outside come of scores 14 below c, which bfloat16 resolves to 3 %, or 69 above it, which are near to overflow.
SMALLEST_SUM, LARGEST_SUM = 1e-6, 1e30
MOST_ABOVE_C = 40.0  # of the unmasked protein's highest score: heads trained to see one neighbour have it at 70
SCORES_AT_ONCE = 1 << 21  # 4 MB, which a CPU's caches hold


@dataclass(frozen=True)
class _Projection:
    """Queries, keys or values of all copies, from those of the unmasked protein."""

    weight_CC: Tensor  # bfloat16
    minus_TC: Tensor  # bfloat16: minus its product with the unmasked protein
    base_TC: Tensor  # float32: that product and the bias

    @classmethod
    def of(cls, linear: Any, normed_TC: Tensor, order: Tensor | slice = slice(None)) -> "_Projection":
        """Take channels in this order."""
        weight_CC = linear.weight.bfloat16()[order]
        product_TC = F.linear(normed_TC, weight_CC)
        return cls(weight_CC, -product_TC, product_TC.float() + linear.bias[order])

    def __call__(self, normed_MTC: Tensor) -> Tensor:
        """(M, T, C) in bfloat16 -> the same in float32."""
        difference_XC = self.minus_TC.repeat(len(normed_MTC), 1).addmm_(normed_MTC.flatten(0, 1), self.weight_CC.T)
        return difference_XC.view_as(normed_MTC) + self.base_TC


@dataclass(frozen=True)
class _Layer:
    """A layer of Transformers, its large matrices in bfloat16, and what it makes of the unmasked protein."""

    exact: Any
    query: _Projection  # channels in the order of `Rotary.pairs_C`
    key: _Projection
    value: _Projection
    output: Callable[[Tensor], Tensor]  # of the attention
    up: Callable[[Tensor], Tensor]
    down: Callable[[Tensor], Tensor]
    minus_c_HT1: Tensor


def reader(model: Any, tokens_T: Tensor, mask_token: int) -> Callable[[Tensor], Tensor]:
    """Positions (M, R) that each of M copies masks -> logits there, shape (M R, vocabulary), as `esm.reader`."""
    rotary, shared = esm.Rotary.of(model, tokens_T), esm.sharing(model, tokens_T, mask_token)
    layers = _layers(model, esm.embed(model, tokens_T, mask_token, masks=1)[0], rotary)

    def read(positions_MR: Tensor) -> Tensor:
        hidden_MRC = _read(layers, shared(positions_MR.shape[1]), rotary, positions_MR)
        return model.lm_head(model.esm.encoder.emb_layer_norm_after(hidden_MRC)).flatten(0, 1)

    return read


def _layers(model: Any, hidden_TC: Tensor, rotary: esm.Rotary) -> list[_Layer]:
    """Send the unmasked protein through the model."""
    layers = []
    for exact in model.esm.encoder.layer:
        attention, normed_TC = exact.attention.self, exact.attention.LayerNorm(hidden_TC).bfloat16()
        query, key = (_Projection.of(linear, normed_TC, rotary.pairs_C) for linear in (attention.query, attention.key))
        value = _Projection.of(attention.value, normed_TC)
        query_THD = rotary.turned(query.base_TC.clone(), rotary.turn_TP)
        key_THD = rotary.turned(key.base_TC.clone(), _for_keys(rotary))
        score_HTT = query_THD.transpose(0, 1) @ key_THD.permute(1, 2, 0)
        highest_HT1 = score_HTT.amax(-1, keepdim=True)
        second_HT1 = score_HTT.masked_fill(score_HTT == highest_HT1, -torch.inf).amax(-1, keepdim=True)
        c_HT1 = torch.maximum(second_HT1, highest_HT1 - MOST_ABOVE_C)
        output, up, down = map(_rough, (exact.attention.output.dense, exact.intermediate.dense, exact.output.dense))
        layer = _Layer(exact, query, key, value, output, up, down, -c_HT1.bfloat16())
        layers.append(layer)
        context_HTD = score_HTT.softmax(-1) @ esm.in_heads(value.base_TC, rotary.heads).transpose(0, 1)
        context_TC = context_HTD.transpose(0, 1).flatten(1)
        hidden_TC = _feed_forward(layer, hidden_TC + layer.output(context_TC.bfloat16()))
    return layers


def _for_keys(rotary: esm.Rotary) -> Tensor:
    """Factors that divide by sqrt(D), too."""
    return rotary.turn_TP * (2 * rotary.turn_TP.shape[1] // rotary.heads) ** -0.5


def _rough(linear: Any) -> Callable[[Tensor], Tensor]:
    return partial(F.linear, weight=linear.weight.bfloat16(), bias=linear.bias.bfloat16())


def _read(layers: list[_Layer], shared: esm.Shared, rotary: esm.Rotary, positions_MR: Tensor) -> Tensor:
    """Last hidden state at the positions that each copy masks, shape (M, R, C)."""
    masked, key_TP = esm.places(positions_MR), _for_keys(rotary)
    hidden_MTC, context_MTHD = shared.copies(positions_MR), shared.context(positions_MR)
    context_MRHD = context_MTHD[masked]
    for before, layer in zip(layers[:-1], layers[1:], strict=True):
        row_MRC = hidden_MTC[masked] + before.exact.attention.output.dense(context_MRHD.flatten(2))
        hidden_MTC = hidden_MTC.add_(before.output(context_MTHD.flatten(2).bfloat16()))
        hidden_MTC[masked] = row_MRC
        hidden_MTC = _feed_forward(before, hidden_MTC)
        normed_MTC = layer.exact.attention.LayerNorm(hidden_MTC)
        query_MRC = layer.exact.attention.self.query(normed_MTC[masked])[..., rotary.pairs_C]
        normed_MTC = normed_MTC.bfloat16()
        key_MTHD = rotary.turned(layer.key(normed_MTC), key_TP)
        value_MTHD = esm.in_heads(layer.value(normed_MTC), rotary.heads)
        query_MRHD = rotary.turned(query_MRC, rotary.turn_TP[positions_MR])
        context_MRHD = esm.attend(query_MRHD, key_MTHD, value_MTHD, scale=1.0)
        if layer is not layers[-1]:
            query_MTC = layer.query(normed_MTC)
            query_MTC[masked] = layer.query.base_TC[positions_MR]  # not used, but its scores are near c
            query_MTHD = rotary.turned(query_MTC, rotary.turn_TP)
            context_MTHD = _attend(query_MTHD, key_MTHD, value_MTHD, layer.minus_c_HT1)
    return esm.finish(layers[-1].exact, hidden_MTC[masked], context_MRHD)


def _feed_forward(layer: _Layer, hidden: Tensor) -> Tensor:
    """(.., C) in float32, overwritten -> the same."""
    return hidden.add_(layer.down(F.gelu(layer.up(layer.exact.LayerNorm(hidden).bfloat16()))))


def _attend(query_MTHD: Tensor, key_MTHD: Tensor, value_MTHD: Tensor, minus_c_HT1: Tensor) -> Tensor:
    """Attention of float32 queries, keys (divided by sqrt(D)) and values, to float32 of the same shape."""
    query, key, value = (x_MTHD.transpose(1, 2) for x_MTHD in (query_MTHD.bfloat16(), key_MTHD, value_MTHD.bfloat16()))
    one_MHT1, minus_c_MHT1 = (x.expand(*query.shape[:-1], 1) for x in (query.new_ones(1), minus_c_HT1))
    high = key.bfloat16()
    query_XTD = torch.cat([query, query, minus_c_MHT1], dim=-1).flatten(0, 1)
    key_XTD = torch.cat([high, (key - high).bfloat16(), one_MHT1], dim=-1).flatten(0, 1)
    value_XTD = torch.cat([value, one_MHT1], dim=-1).flatten(0, 1)
    at_once = max(1, SCORES_AT_ONCE // key.shape[2] ** 2)
    parts = zip(*(x_XTD.split(at_once) for x_XTD in (query_XTD, key_XTD, value_XTD)), strict=True)
    sums_XTD = torch.cat([(query @ key.mT).exp_() @ value for query, key, value in parts])
    sums_MTHD = sums_XTD.unflatten(0, value.shape[:2]).transpose(1, 2).float()  # numerators, denominators behind them
    sum_MTH1 = sums_MTHD[..., -1:]
    smallest, largest = sum_MTH1.aminmax()
    if not (smallest > SMALLEST_SUM and largest < LARGEST_SUM):
        return esm.attend(query_MTHD, key_MTHD, value_MTHD, scale=1.0)
    return sums_MTHD[..., :-1] / sum_MTH1
