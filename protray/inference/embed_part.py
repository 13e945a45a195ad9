"""Embeddings of a list of chains into one file; a chain that cannot be embedded is left out and named."""

from dataclasses import dataclass
from pathlib import Path

from protray.data.embeddings import EmbeddingWriter, Level
from protray.data.structures import StructureChain
from protray.inference.embed import Embedder, check_chain
from protray.plm.masked import out_of_memory
from protray.seq.alphabet import decode


@dataclass(frozen=True)
class Failure:
    """Why a chain has no embedding; `again`: the next run tries it again, since not the chain is to blame."""

    id: str
    reason: str
    again: bool = False


def write_embeddings(embedder: Embedder, chains: list[StructureChain], level: Level, path: Path) -> list[Failure]:
    """Write a Parquet file with all `chains` but those that are returned."""
    failures = []
    usable = []
    for chain in chains:
        try:
            check_chain(chain)
            usable.append(chain)
        except ValueError as error:
            failures.append(Failure(chain.id, str(error)))
    # Coordinates are checked before anything is written: later faults are rare, and half a chain may be in the file.
    while (failure := _write(embedder, usable, level, path)) is not None:
        failures.append(failure)
        usable = [chain for chain in usable if chain.id != failure.id]
    return failures


def _write(embedder: Embedder, chains: list[StructureChain], level: Level, path: Path) -> Failure | None:
    with EmbeddingWriter(path, level, embedder.channels) as writer:
        for chain in chains:
            try:
                sequence = decode(chain.codes_L)
                if level == "pair":
                    writer.add_pairs(chain.id, sequence, embedder.pair(chain))
                else:
                    writer.add(chain.id, sequence, getattr(embedder, level)(chain))
            except Exception as error:
                if out_of_memory(error):
                    return Failure(chain.id, f"out of memory: {error}", again=True)
                if not isinstance(error, ValueError):
                    raise
                return Failure(chain.id, str(error))
    return None
