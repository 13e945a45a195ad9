"""Proteins -> padded batches of tensors.  The only place where padding and the order of batches are decided.

Shape key:  B proteins in a batch   L residues, padded   A amino-acid types (20)   C channels
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from protray.data.secondary.dataset import Proteins
from protray.models.layers import Noise, real_residues
from protray.seq.alphabet import PAD
from protray.seq.keyed import generator
from protray.seq.secondary import IGNORE


@dataclass(frozen=True)
class Example:
    """One protein as arrays; what a network does not use is None."""

    id: str
    codes_L: np.ndarray
    ss3_L: np.ndarray
    ss8_L: np.ndarray
    deep: bool
    high_LA: np.ndarray  # X_h: of the whole alignment
    low_LA: np.ndarray  # X_l: of a down-sampled alignment, or X_h itself
    bert_LA: np.ndarray | None = None  # X_b: of the pseudo-alignment
    hidden_LC: np.ndarray | None = None  # the language model's last hidden state


@dataclass(frozen=True)
class Batch:
    """One worker's share of a global batch."""

    ids: list[str]
    lengths_B: Tensor
    codes_BL: Tensor
    ss3_BL: Tensor  # -100 where there is no label, and at padding
    ss8_BL: Tensor
    deep_B: Tensor
    high_BLA: Tensor
    low_BLA: Tensor
    bert_BLA: Tensor | None
    hidden_BLC: Tensor | None
    noise: Noise | None  # of dropout; None in evaluation
    totals: "Totals"

    @property
    def mask_BL(self) -> Tensor:  # noqa: N802
        return real_residues(self.lengths_B, self.codes_BL.shape[1])

    def to(self, device: str) -> "Batch":
        """Move every tensor to a device."""
        moved = {
            f.name: getattr(self, f.name).to(device) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)


def order(lengths: np.ndarray, per_batch: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Shuffle proteins into global batches of similar lengths, keyed by (seed, epoch) alone.

    Proteins are permuted, sorted by length inside runs of eight batches, and the batches are permuted: little padding,
    and still other neighbours in every epoch.
    """
    rng = generator(seed, "order", epoch)
    shuffled = rng.permutation(len(lengths))
    run = 8 * per_batch
    batches = []
    for start in range(0, len(shuffled), run):
        chunk = shuffled[start : start + run]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [chunk[first : first + per_batch] for first in range(0, len(chunk), per_batch)]
    return [batches[number] for number in rng.permutation(len(batches))]


def in_order(rows: np.ndarray, per_batch: int, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Batches for evaluation: every protein once, longest first."""
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    for first in range(0, len(rows), per_batch):
        yield rows[first : first + per_batch]


@dataclass(frozen=True)
class Totals:
    """Sizes of a whole global batch, of which a worker sees its share; losses are divided by them."""

    residues: float = 1.0
    labels: float = 1.0
    deep_residues: float = 1.0

    @classmethod
    def of(cls, proteins: Proteins, rows: np.ndarray) -> "Totals":
        lengths, deep = proteins.lengths[rows], proteins.deep[rows]
        return cls(float(lengths.sum()), float(proteins.labelled[rows].sum()), float(lengths[deep].sum()))


def collate(examples: list[Example], totals: Totals, noise_keys: list[int] | None = None) -> Batch:
    """Pad examples to the longest of them."""
    lengths = [len(example.codes_L) for example in examples]
    width = max(lengths)

    def pad(arrays: list[np.ndarray], fill: float, dtype: torch.dtype) -> Tensor:
        padded = torch.full((len(arrays), width, *arrays[0].shape[1:]), fill, dtype=dtype)
        for row, array in enumerate(arrays):
            padded[row, : len(array)] = torch.from_numpy(np.array(array))
        return padded

    def pad_optional(arrays: list[np.ndarray | None]) -> Tensor | None:
        present = [array for array in arrays if array is not None]
        return pad(present, 0.0, torch.float32) if present else None

    return Batch(
        ids=[example.id for example in examples],
        lengths_B=torch.tensor(lengths),
        codes_BL=pad([example.codes_L for example in examples], PAD, torch.int64),
        ss3_BL=pad([example.ss3_L for example in examples], IGNORE, torch.int64),
        ss8_BL=pad([example.ss8_L for example in examples], IGNORE, torch.int64),
        deep_B=torch.tensor([example.deep for example in examples]),
        high_BLA=pad([example.high_LA for example in examples], 0.0, torch.float32),
        low_BLA=pad([example.low_LA for example in examples], 0.0, torch.float32),
        bert_BLA=pad_optional([example.bert_LA for example in examples]),
        hidden_BLC=pad_optional([example.hidden_LC for example in examples]),
        noise=None if noise_keys is None else Noise(noise_keys, lengths),
        totals=totals,
    )
