"""What an actor is given: spans of proteins of about equal cost, and the settings they are computed with.

Cost is counted in forward tokens: a position of a protein of L residues takes one forward pass of L + 2 tokens.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from protray.cluster.health.lengths import Lengths
from protray.data import schemas
from protray.pipelines.language_model.map_parts import Span
from protray.plm import masked
from protray.plm.reading import Reading, forward_tokens, row_tokens

UNIT_TOKENS = 1 << 20  # two minutes of a core with the packaged model; at most 28 MB of maps, of 300 residues 0.3 MB
ACTOR_TOKENS = 1 << 17  # 10 s of a core with the packaged model: for less no other process is worth its start


@dataclass(frozen=True, kw_only=True)
class MapConfig:
    """Which language model reads the proteins, and how."""

    lm: str  # Hugging Face name or folder
    reading: Reading = Reading()
    hidden: bool = True  # keep the last hidden state, too
    float16: bool = False  # store probabilities in half precision

    @property
    def schema(self) -> pa.Schema:
        return schemas.MAPS_FLOAT16 if self.float16 else schemas.MAPS

    def row_tokens(self, length: int) -> int:
        """Forward tokens for each position of a protein; the language model's own limit is not counted in."""
        return row_tokens(length, self.reading)

    def tokens(self, length: int) -> int:
        """Forward tokens of a whole protein: about its length squared where maps are exact."""
        return forward_tokens(length, self.reading)

    def total(self, lengths: Lengths) -> float:
        """Forward tokens of all proteins."""
        return lengths.sum(self.each(lengths))

    def each(self, lengths: Lengths) -> np.ndarray:
        """Forward tokens of the proteins that stand in for all."""
        return np.array([self.tokens(length) for length in lengths.residues.tolist()], dtype=float)


@dataclass(frozen=True)
class Unit:
    """Spans of the proteins of one shard, and how many processes they have cost already."""

    shard: int
    spans: tuple[Span, ...]
    tokens: int
    lost: int = 0

    @property
    def part(self) -> str:
        return f"part-{hashlib.sha256(repr(self.spans).encode()).hexdigest()[:16]}.arrow"


@dataclass(frozen=True)
class Failure:
    """Why a protein has no map; `again`: the next run tries it again, since not the protein is to blame."""

    row: int
    reason: str
    again: bool


def cut(shard: int, spans: list[Span], lengths: list[int], budget: int, config: MapConfig) -> list[Unit]:
    """Pack spans into units of about `budget` forward tokens, and cut those that cost more.

    A piece is a multiple of what one forward pass takes, so that the passes, and with them the last bit of every
    number, are the same for any budget (on a CPU; a GPU's passes are longer).  What costs less than a unit stays whole.
    """
    units, held, tokens = [], [], 0
    for span in spans:
        each = config.row_tokens(lengths[span.row])
        at_once = max(1, masked.TOKENS_AT_ONCE // each)
        piece = max(1, budget // each // at_once) * at_once
        if (span.stop - span.start) * each <= budget:
            piece = span.stop - span.start
        for start in range(span.start, span.stop, piece):
            stop = min(start + piece, span.stop)
            if held and tokens + (stop - start) * each > budget:
                units.append(Unit(shard, tuple(held), tokens))
                held, tokens = [], 0
            held.append(Span(span.row, start, stop))
            tokens += (stop - start) * each
    return [*units, Unit(shard, tuple(held), tokens)] if held else units
