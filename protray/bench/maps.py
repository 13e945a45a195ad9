"""Probability maps of single proteins, with every core, or the GPU, that torch has: exact, and in K passes.

Operations of an exact map are those of the plain computation's products with the encoder's weights, 2 x parameters x
(L + 2) a row: work that ours avoids counts as done; attention and the head count for nothing.

Shape key:  L residues   A amino-acid types (20)
"""

import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from protray.bench.timing import Case, compare, matrix_rate
from protray.plm.masked import LanguageModel, has_bf16, load, map_rows, tokens_of
from protray.plm.pretraining.architecture import build_model
from protray.plm.pretraining.config import MaskedLmConfig
from protray.plm.pretraining.tokens import save_tokenizer
from protray.plm.reading import Precision, Reading
from protray.seq.alphabet import N_AA

LENGTHS = (100, 200, 400)  # residues: most proteins lie between
PASSES = ("exact", 16)
ROWS = 20  # of an exact map that are timed, at most: one full pass or more
POSITIONS = 4  # of them that the plain loop does


def bench(repeats: int) -> tuple[list[Case], dict[str, Any]]:
    """A case for each precision, length and number of passes, and the largest difference to the plain probabilities."""
    gpu = torch.cuda.is_available()
    size = "650m" if gpu else "8m"
    lm = fresh_lm(size, "cuda" if gpu else "cpu")
    parameters = sum(weight.numel() for weight in lm.model.esm.encoder.layer.parameters())
    rng = np.random.default_rng(0)
    cases, differences = [], {}
    for precision in precisions():
        limit = matrix_rate(precision, clock=waited, device=str(lm.model.device))
        for length, passes in itertools.product(LENGTHS, PASSES):
            codes_L, rows = rng.integers(0, N_AA, length), min(length, ROWS) if passes == "exact" else length
            asked = np.linspace(0, rows - 1, POSITIONS, dtype=int)
            ours, plain = rows_of(lm, codes_L, rows, Reading(precision, passes)), plain_loop(lm, codes_L, asked)
            name = f"{precision} {passes if passes == 'exact' else f'K = {passes}'}, {length}"
            cases.append(
                compare(
                    name,
                    f"{rows} rows of a protein of {length}, {size} model with random weights; plain: Transformers as "
                    f"is, float32, one masked copy per forward, timed on {POSITIONS} positions",
                    plain,
                    ours,
                    repeats,
                    plain_share=POSITIONS / rows,
                    work=2 * parameters * rows * (length + 2) if passes == "exact" else None,
                    limit=limit,
                    limit_name=f"{precision} products",
                    clock=waited,
                )
            )
            differences[f"largest difference of a probability, {name}"] = float(np.abs(ours()[asked] - plain()).max())
    return cases, differences


def precisions() -> tuple[Precision, ...]:
    """What this machine multiplies in hardware."""
    return ("float32", "bfloat16") if has_bf16() else ("float32",)


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


def rows_of(lm: LanguageModel, codes_L: np.ndarray, rows: int, reading: Reading) -> Callable[[], np.ndarray]:
    return lambda: map_rows(lm, codes_L, 0, rows, reading)


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
