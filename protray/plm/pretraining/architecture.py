"""A fresh masked language model with the ESM architecture (Rives et al. 2021; Lin et al. 2023)."""

from typing import Any  # models of Transformers, whose attributes no type checker knows

import torch

from protray.plm.pretraining.config import SIZES, MaskedLmConfig
from protray.plm.pretraining.tokens import ESM_TOKENS, MASK, PADDING


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
    model.set_attn_implementation("eager")  # at these sizes its backward pass is three times as fast as SDPA's on a CPU
    for number, layer in enumerate(model.esm.encoder.layer[:2]):
        attend_to_neighbours(layer.attention.self, first=number * heads)
    return model


NEIGHBOURS = (-1, 1, -2, 2, -3, 3, -4, 4)  # about a helix turn to either side
SHARPNESS = 6.0  # logit of the wanted neighbour for each rotary frequency: it gets about 70 % of the attention


@torch.no_grad()
def attend_to_neighbours(attention: Any, first: int = 0) -> None:
    r"""Start each head at one neighbour along the chain: a fresh network then begins as a convolution, not as a mean.

    Heads take turns, from the neighbour number `first` on.

    With rotary positions a constant query q and key k give the logit
    :math:`\sum_f a \cos(\theta_f (j - i - \delta))`, highest at :math:`j = i + \delta`, if k is q turned back by
    :math:`\theta_f \delta`.  Both are biases, so training may unlearn them.  The idea is ConViT's (d'Ascoli et al.
    2021); without it a small model stays at the amino-acid frequencies for thousands of steps.
    """
    size, half = attention.attention_head_size, attention.attention_head_size // 2
    rates = 10000.0 ** (-torch.arange(half) / half)
    length = (SHARPNESS * size**0.5) ** 0.5  # queries are divided by sqrt(size)
    for head in range(attention.num_attention_heads):
        turn = rates * NEIGHBOURS[(first + head) % len(NEIGHBOURS)]
        own = slice(head * size, (head + 1) * size)
        attention.query.bias[own] = torch.cat([torch.full((half,), length), torch.zeros(half)])
        attention.key.bias[own] = length * torch.cat([turn.cos(), -turn.sin()])
