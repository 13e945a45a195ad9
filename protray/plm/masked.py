r"""Probability maps of a masked protein language model, one mask per position.

.. math:: M_{jk} = P(x_j = k \mid x_1, .., x_{j-1}, x_{j+1}, .., x_L), \quad \sum_k M_{jk} = 1

over the 20 amino acids.  A protein costs L forward passes.  Source: PSSM-Distil (AAAI 2021), "BERT Pseudo PSSM
Generation"; the released maps gave some probability to other tokens, ours do not.

Shape key:  M masked copies in a batch   T tokens   L residues   A amino-acid types (20)   C channels
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from protray.plm import esm, esm_bf16
from protray.plm.shipped import resolve
from protray.seq.alphabet import AMINO_ACIDS, N_AA

log = logging.getLogger(__name__)

# Tokens of one forward pass, which bound memory whatever the protein.  2,048 is what a CPU's caches hold: a fifth
# faster than 16,384.  A GPU takes more to be filled.
TOKENS_AT_ONCE, GPU_FACTOR = 2_048, 32


@dataclass(frozen=True)
class LanguageModel:
    """A Hugging Face masked language model and how it spells residues."""

    model: Any  # of Transformers, whose attributes no type checker knows
    token_of_code: np.ndarray  # residue code (0..20) -> token id
    mask_token: int
    before: tuple[int, ...]  # tokens in front of a sequence, such as <cls>
    after: tuple[int, ...]  # tokens behind it, such as <eos>
    name: str

    @property
    def amino_acid_tokens_A(self) -> np.ndarray:  # noqa: N802
        return self.token_of_code[:N_AA]

    @property
    def longest(self) -> int | None:
        """Residues that absolute position embeddings allow; None where positions are relative."""
        config = self.model.config
        if getattr(config, "position_embedding_type", "absolute") != "absolute":
            return None
        reserved = len(self.before) + len(self.after)
        if config.model_type in ("roberta", "esm"):
            reserved += config.pad_token_id + 1  # their positions are counted from the padding index on
        return config.max_position_embeddings - reserved


def load(name: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LanguageModel:
    """Load a model by hub name or folder, or the `SHIPPED` one; no code of the model's repository is run.

    Raises ValueError naming what its vocabulary lacks.
    """
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    _keep_freed_memory()
    path = resolve(name)
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    model = AutoModelForMaskedLM.from_pretrained(path, trust_remote_code=False, use_safetensors=True, dtype=dtype)
    vocabulary = tokenizer.get_vocab()
    missing = [letter for letter in AMINO_ACIDS if letter not in vocabulary]
    if missing:
        raise ValueError(f"language model {name}: its vocabulary has no token for {missing}; it is no protein model")
    if tokenizer.mask_token_id is None:
        raise ValueError(f"language model {name}: it has no mask token, so it is not a masked language model")
    unknown = vocabulary.get("X", tokenizer.unk_token_id)
    if unknown is None:
        raise ValueError(f"language model {name}: its vocabulary has neither X nor an unknown token")
    codes = [vocabulary[letter] for letter in AMINO_ACIDS] + [unknown]
    # what the tokenizer puts around one residue is what it puts around a sequence
    around = tokenizer("A")["input_ids"]
    position = around.index(vocabulary["A"])
    return LanguageModel(
        model.eval().to(device), np.array(codes), tokenizer.mask_token_id,
        tuple(around[:position]), tuple(around[position + 1 :]), name,
    )  # fmt: skip


def _keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB that tensors give back for the next ones; else a tenth of the time goes into pages.

    It keeps twice the largest block, of up to 32 MB, that was ever freed: mallopt(3), M_MMAP_THRESHOLD.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


def has_bf16() -> bool:
    """True where this machine multiplies bfloat16 matrices in hardware."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported())


def tokens_of(lm: LanguageModel, codes_L: np.ndarray) -> Tensor:
    """Token ids of one protein with what goes around it, shape (T,)."""
    if lm.longest is not None and len(codes_L) > lm.longest:
        raise ValueError(f"{len(codes_L)} residues; language model {lm.name} reads at most {lm.longest}")
    return torch.from_numpy(np.concatenate([lm.before, lm.token_of_code[codes_L], lm.after]).astype(np.int64))


@torch.inference_mode()
def probability_map(
    lm: LanguageModel, codes_L: np.ndarray, bf16: bool = False, start: int = 0, stop: int | None = None
) -> np.ndarray:
    """Mask each residue once and return P(amino acid | the rest), float32, shape (L, 20).

    With `start` or `stop`, only the rows from `start` to `stop` - 1, at their share of the cost.
    """
    tokens_T = tokens_of(lm, codes_L).to(lm.model.device)
    stop = len(codes_L) if stop is None else stop
    positions = range(len(lm.before) + start, len(lm.before) + stop)
    logits = _masked_logits(lm, tokens_T, positions, bf16)
    amino_acids_A = torch.from_numpy(lm.amino_acid_tokens_A).to(tokens_T.device)
    return logits[:, amino_acids_A].float().softmax(dim=-1).cpu().numpy()


def copies_at_once(lm: LanguageModel, n_tokens: int) -> int:
    """Masked copies of a protein of `n_tokens` tokens in one forward pass."""
    return max(1, TOKENS_AT_ONCE * (GPU_FACTOR if lm.model.device.type == "cuda" else 1) // n_tokens)


def _masked_logits(lm: LanguageModel, tokens_T: Tensor, positions: range, bf16: bool) -> Tensor:
    """Logits of all tokens at each position, that position being masked; shape (positions, vocabulary)."""
    device, at_once = tokens_T.device.type, copies_at_once(lm, len(tokens_T))
    if esm.supports(lm.model) and bf16 and device == "cpu":
        return esm_bf16.masked_logits(lm.model, tokens_T, positions, lm.mask_token, at_once)
    logits_of = esm.masked_logits if esm.supports(lm.model) else plain_masked_logits
    with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
        return logits_of(lm.model, tokens_T, positions, lm.mask_token, at_once)


def plain_masked_logits(model: Any, tokens_T: Tensor, positions: range, mask_token: int, at_once: int) -> Tensor:
    """Run the model as it is on one masked copy for each position, `at_once` of them together."""
    logits = []
    for positions_M in torch.arange(positions.start, positions.stop, device=tokens_T.device).split(at_once):
        masked = torch.arange(len(positions_M), device=tokens_T.device), positions_M
        tokens_MT = tokens_T.repeat(len(positions_M), 1)
        tokens_MT[masked] = mask_token
        logits.append(model(input_ids=tokens_MT, attention_mask=torch.ones_like(tokens_MT)).logits[masked])
    return torch.cat(logits)


@torch.inference_mode()
def hidden_state(lm: LanguageModel, codes_L: np.ndarray) -> np.ndarray:
    """Last hidden state of each residue, nothing masked, float32, shape (L, C)."""
    tokens_1T = tokens_of(lm, codes_L)[None].to(lm.model.device)
    output = lm.model.base_model(input_ids=tokens_1T, attention_mask=torch.ones_like(tokens_1T))
    first = len(lm.before)
    return output[0][0, first : first + len(codes_L)].float().cpu().numpy()


@dataclass(frozen=True)
class MapQuality:
    """How well maps tell the residues that were masked."""

    perplexity: float  # exp of the mean of -ln P(true residue)
    top1: float  # share of residues that got the highest probability
    residues: int
    proteins: int


def map_quality(lm: LanguageModel, proteins: Iterable[np.ndarray], bf16: bool = False) -> MapQuality:
    """Mask every known residue of `proteins` (codes, shape (L,) each) once, and score the guesses."""
    nats, right, n = [], [], 0
    for codes_L in proteins:
        known_L = np.flatnonzero(codes_L < N_AA)
        prob_LA = probability_map(lm, codes_L, bf16)[known_L]
        nats.append(-np.log(prob_LA[np.arange(len(known_L)), codes_L[known_L]]))
        right.append(prob_LA.argmax(axis=1) == codes_L[known_L])
        n += 1
    if not n:
        raise ValueError("there is no protein to score the language model on")
    all_nats = np.concatenate(nats)
    return MapQuality(float(np.exp(all_nats.mean())), float(np.concatenate(right).mean()), len(all_nats), n)
