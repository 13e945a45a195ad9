"""Probability maps of single proteins, with every core, or the GPU, that torch has.

Operations are those of the plain computation's products with the encoder's weights, 2 x parameters x L x (L + 2): work
that ours avoids counts as done; attention and the head count for nothing.

Shape key:  L residues   A amino-acid types (20)
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from protray.bench.timing import Case, compare, matrix_rate
from protray.plm.architecture import build_model
from protray.plm.masked import LanguageModel, has_bf16, load, probability_map, tokens_of
from protray.plm.pretraining import MaskedLmConfig
from protray.plm.tokens import save_tokenizer
from protray.seq.alphabet import N_AA

LENGTHS = (100, 200, 400)  # residues: most proteins lie between
POSITIONS = 4  # of each protein that the plain loop does


def bench(repeats: int) -> tuple[list[Case], dict[str, Any]]:
    """A case for each length, and the largest difference to the plain probabilities."""
    gpu, bf16 = torch.cuda.is_available(), has_bf16()
    size, kind = ("650m" if gpu else "8m"), ("bfloat16" if bf16 else "float32")
    lm = fresh_lm(size, "cuda" if gpu else "cpu")
    parameters = sum(weight.numel() for weight in lm.model.esm.encoder.layer.parameters())
    limit = matrix_rate(kind, clock=waited, device=str(lm.model.device))
    rng = np.random.default_rng(0)
    cases, differences = [], {}
    for length in LENGTHS:
        codes_L = rng.integers(0, N_AA, length)
        asked = np.linspace(0, length - 1, POSITIONS, dtype=int)
        ours, plain = maps_of(lm, codes_L, bf16), plain_loop(lm, codes_L, asked)
        cases.append(
            compare(
                f"L = {length}",
                f"{size} model with random weights, {kind}; plain: Transformers as is, one masked copy per forward, "
                f"float32, timed on {POSITIONS} positions",
                plain,
                ours,
                repeats,
                plain_share=POSITIONS / length,
                work=2 * parameters * length * (length + 2),
                limit=limit,
                limit_name=f"{kind} products",
                clock=waited,
            )
        )
        differences[f"largest difference of a probability at L = {length}"] = float(
            np.abs(ours()[asked] - plain()).max()
        )
    return cases, differences


def fresh_lm(size: str, device: str) -> LanguageModel:
    """A model of this size as `load` would give it."""
    with tempfile.TemporaryDirectory() as folder:
        build_model(MaskedLmConfig(size=size)).save_pretrained(folder)
        save_tokenizer(Path(folder))
        return load(folder, device=device)


def waited() -> float:
    """Wall time when the device has finished its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def maps_of(lm: LanguageModel, codes_L: np.ndarray, bf16: bool) -> Callable[[], np.ndarray]:
    return lambda: probability_map(lm, codes_L, bf16)


def plain_loop(lm: LanguageModel, codes_L: np.ndarray, asked: np.ndarray) -> Callable[[], np.ndarray]:
    """What a user would write: probabilities at `asked`, shape (positions, 20)."""

    @torch.inference_mode()
    def run() -> np.ndarray:
        rows = []
        for position in asked + len(lm.before):
            tokens_1T = tokens_of(lm, codes_L)[None].to(lm.model.device)
            tokens_1T[0, position] = lm.mask_token
            logits = lm.model(input_ids=tokens_1T).logits[0, position, lm.amino_acid_tokens_A]
            rows.append(logits.softmax(dim=-1).cpu().numpy())
        return np.stack(rows)

    return run
