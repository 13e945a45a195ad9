r"""Probability maps of a masked protein language model.

.. math:: M_{jk} = P(x_j = k \mid x_1, .., x_{j-1}, x_{j+1}, .., x_L), \quad \sum_k M_{jk} = 1

over the 20 amino acids.  An exact map costs L forward passes; with ``Reading(passes=K)`` it costs K, and the residues
K, 2 K, ... away are masked as well.  Source: PSSM-Distil (AAAI 2021), "BERT Pseudo PSSM
Generation"; the released maps gave some probability to other tokens, ours do not.

Shape key:  M masked copies in a batch   R positions that a copy masks   X = M R   T tokens   V of the vocabulary
            L residues   W of a window   A amino-acid types (20)   C channels
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from protray.plm.hub.folder import check_present
from protray.plm.hub.loading import read_config, read_model
from protray.plm.hub.spelling import read_spelling
from protray.plm.passes import esm, esm_bf16
from protray.plm.reading import Reading, windows
from protray.seq.alphabet import N_AA

log = logging.getLogger(__name__)

# Tokens of one forward pass, which bound memory whatever the protein.  2,048 is what a CPU's caches hold: a fifth
# faster than 16,384.  A GPU takes more to be filled.
TOKENS_AT_ONCE, GPU_FACTOR = 2_048, 32
WHOLE = Reading()


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
        for name, table in self.model.named_modules():
            if name.endswith(("position_embeddings", "embed_positions")) and isinstance(table, torch.nn.Embedding):
                reserved = len(self.before) + len(self.after)
                if table.padding_idx is not None:  # positions are counted from the padding index on, as in RoBERTa
                    reserved += table.padding_idx + 1
                return min(table.num_embeddings, config.max_position_embeddings) - reserved
        return None


def load(name: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LanguageModel:
    """Load a model by hub name or folder, or the `SHIPPED` one; no code of the model's repository is run.

    Raises ValueError, in one line, naming the weights or amino acids that it lacks, or the file that is damaged.
    """
    check_present(name)
    _keep_freed_memory()
    config = read_config(name)
    spelling = read_spelling(name, config.vocab_size)
    model = read_model(name, config, dtype)
    own = getattr(config, "mask_token_id", None)
    if own is not None and own != spelling.mask_token:
        raise ValueError(
            f"language model {name}: its mask is token {own} by config.json and {spelling.mask_token} by its "
            "tokenizer; they are of two models"
        )
    lm = LanguageModel(
        model.to(device), spelling.token_of_code, spelling.mask_token, spelling.before, spelling.after, name
    )
    if lm.longest is not None and lm.longest < 1:
        raise ValueError(f"language model {name}: its position embeddings have room for {lm.longest} residues")
    return lm


def _keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB that tensors give back for the next ones; else a tenth of the time goes into pages.

    It keeps twice the largest block, of up to 32 MB, that was ever freed: mallopt(3), M_MMAP_THRESHOLD.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


def has_bf16() -> bool:
    """True where this machine multiplies bfloat16 matrices in hardware, and oneDNN may use it (DNNL_MAX_CPU_ISA)."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def tokens_of(lm: LanguageModel, codes_L: np.ndarray) -> Tensor:
    """Token ids of one protein with what goes around it, shape (T,)."""
    if lm.longest is not None and len(codes_L) > lm.longest:
        raise ValueError(f"{len(codes_L)} residues; language model {lm.name} reads at most {lm.longest}")
    return torch.from_numpy(np.concatenate([lm.before, lm.token_of_code[codes_L], lm.after]).astype(np.int64))


def probability_map(lm: LanguageModel, codes_L: np.ndarray, reading: Reading = WHOLE) -> np.ndarray:
    """P(amino acid | the rest) of each residue, float32, shape (L, 20)."""
    return map_rows(lm, codes_L, reading=reading)


def map_rows(
    lm: LanguageModel, codes_L: np.ndarray, start: int = 0, stop: int | None = None, reading: Reading = WHOLE
) -> np.ndarray:
    """Rows `start` to `stop` - 1 of a probability map, float32, shape (stop - start, 20).

    They cost their share of an exact map; with K passes, K or fewer passes of each window that they touch.

    Raises
    ------
    MemoryError
        If not even one masked copy fits into the memory.
    """
    stop, rows = len(codes_L) if stop is None else stop, []
    for window in windows(len(codes_L), reading.limit(lm.longest), reading.overlap):
        first, last = max(start, window.start), min(stop, window.stop)
        if first < last:
            read_W = codes_L[window.first : window.last]
            rows.append(_rows_of_window(lm, read_W, first - window.first, last - window.first, reading))
    return np.concatenate(rows)


@torch.inference_mode()
def _rows_of_window(lm: LanguageModel, codes_W: np.ndarray, start: int, stop: int, reading: Reading) -> np.ndarray:
    tokens_T = tokens_of(lm, codes_W).to(lm.model.device)
    at_once, batches = copies_at_once(lm, len(tokens_T)), []
    for positions_MR in masked_together(len(codes_W), reading.passes):
        asked_M = ((positions_MR >= start) & (positions_MR < stop)).any(dim=1)
        batches += positions_MR[asked_M].split(at_once) if asked_M.any() else ()
    moved = [len(lm.before) + positions_MR.to(tokens_T.device) for positions_MR in batches]
    logits_XV = torch.cat(_logits(lm, tokens_T, moved, reading.precision == "bfloat16"))
    amino_acids_A = torch.from_numpy(lm.amino_acid_tokens_A).to(tokens_T.device)
    prob_XA = logits_XV[:, amino_acids_A].float().softmax(dim=-1).cpu().numpy()
    position_X = torch.cat([positions_MR.flatten() for positions_MR in batches]).numpy()
    prob_WA = np.empty((len(codes_W), N_AA), dtype=np.float32)
    prob_WA[position_X] = prob_XA
    return prob_WA[start:stop]


def masked_together(length: int, passes: Literal["exact"] | int) -> list[Tensor]:
    """Positions that a pass masks, shape (passes, positions) each; together they are all positions, once each.

    In K passes, pass k masks k, k + K, k + 2 K, ...; the first ``length % K`` passes mask one more than the others.
    """
    k = length if passes == "exact" else min(passes, length)
    each, more = length // k, length % k
    positions_KR = torch.arange(each * k).view(each, k).T
    longer_MR = torch.cat([positions_KR[:more], torch.arange(each * k, length)[:, None]], dim=1)
    return [longer_MR, positions_KR[more:]] if more else [positions_KR]


def copies_at_once(lm: LanguageModel, n_tokens: int) -> int:
    """Masked copies of a protein of `n_tokens` tokens in one forward pass."""
    return max(1, TOKENS_AT_ONCE * (GPU_FACTOR if lm.model.device.type == "cuda" else 1) // n_tokens)


def _logits(lm: LanguageModel, tokens_T: Tensor, batches: list[Tensor], bf16: bool) -> list[Tensor]:
    """Logits of all tokens at the positions masked by each batch, shape (M R, vocabulary) each.

    Where memory runs out, again with half as many masked copies at once.
    """
    device, logits = tokens_T.device.type, []
    rounded = bf16 and device == "cpu" and esm.supports(lm.model)  # which needs no autocast
    open_reader = esm_bf16.reader if rounded else esm.reader if esm.supports(lm.model) else plain_reader
    with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16 and not rounded):
        read = open_reader(lm.model, tokens_T, lm.mask_token)
        while batches:
            logits_XV = _unless_out_of_memory(read, batches[0])
            if logits_XV is not None:
                logits.append(logits_XV)
                batches = batches[1:]
                continue
            if len(batches[0]) == 1:
                n = len(tokens_T) - len(lm.before) - len(lm.after)
                raise MemoryError(f"one masked copy of {n} residues does not fit into the memory; use shorter windows")
            batches = [half_MR for positions_MR in batches for half_MR in positions_MR.tensor_split(2) if len(half_MR)]
            if device == "cuda":
                torch.cuda.empty_cache()
    return logits


def plain_reader(model: Any, tokens_T: Tensor, mask_token: int) -> Callable[[Tensor], Tensor]:
    """Run any model as it is: positions (M, R) that each of M copies masks -> logits there, shape (M R, vocabulary)."""

    def read(positions_MR: Tensor) -> Tensor:
        masked = torch.arange(len(positions_MR), device=tokens_T.device)[:, None], positions_MR
        tokens_MT = tokens_T.repeat(len(positions_MR), 1)
        tokens_MT[masked] = mask_token
        return model(input_ids=tokens_MT, attention_mask=torch.ones_like(tokens_MT)).logits[masked].flatten(0, 1)

    return read


def _unless_out_of_memory(read: Callable[[Tensor], Tensor], positions_MR: Tensor) -> Tensor | None:
    """Logits, or None if memory ran out; on return, what the failed pass held is free again."""
    try:
        return read(positions_MR)
    except Exception as error:
        if out_of_memory(error):
            return None
        raise


def out_of_memory(error: BaseException) -> bool:
    """True for what Python, CUDA and PyTorch's CPU allocator raise when memory runs out."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


@torch.inference_mode()
def hidden_rows(lm: LanguageModel, codes_L: np.ndarray, reading: Reading = WHOLE) -> np.ndarray:
    """Last hidden state of each residue, nothing masked, float32, shape (L, C); of a reading, only windows matter."""
    states = []
    for window in windows(len(codes_L), reading.limit(lm.longest), reading.overlap):
        tokens_1T = tokens_of(lm, codes_L[window.first : window.last])[None].to(lm.model.device)
        hidden_TC = lm.model.base_model(input_ids=tokens_1T, attention_mask=torch.ones_like(tokens_1T))[0][0]
        first = len(lm.before) - window.first
        states.append(hidden_TC[first + window.start : first + window.stop].float().cpu().numpy())
    return np.concatenate(states)
