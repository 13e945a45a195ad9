"""A finished head on new proteins, or new mutations, with the embeddings that it was trained with.

Shape key:  L residues   A atoms, 4 of the backbone or 14   C channels   T labels, or 1   3 x, y, z in Å
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from protray.data.location import Location
from protray.inference.embeddings.residues import (
    LanguageModel,
    ResidueEmbedder,
    mean_of,
    open_structure_model,
    statistics_of,
)
from protray.inference.tasks.mutants import MutantEmbedder, MutantInput, mutant_embedder
from protray.models.tasks.head import Head
from protray.struct.residues.atom14 import BACKBONE
from protray.training.structure.ssdm_export import is_fused
from protray.training.tasks.folder import STRUCTURE_MODEL
from protray.training.tasks.properties.head_export import MUTANTS, HeadFacts, load_head
from protray.training.tasks.properties.heads import predict


class Annotator:
    """Gives a protein's labels, or its number; on the CPU or a GPU."""

    def __init__(self, head: Head, facts: HeadFacts, embedders: list[ResidueEmbedder], device: str = "cpu") -> None:
        self.head, self.facts, self.embedders, self.device = head, facts, embedders, device

    @classmethod
    def open(cls, folder: Path | Location, device: str = "cpu") -> "Annotator":
        """Read a folder in ``model`` of jobs/function.py, at a path or an address; ValueError if it is none."""
        head, facts = load_head(folder)
        return cls(head, facts, _embedders(folder, facts, device), device)

    def __call__(
        self, sequence: str, atoms_LA3: np.ndarray | None = None, index_L: np.ndarray | None = None
    ) -> np.ndarray:
        """Probabilities of the labels, or the number; float32, shape (T,).

        Raises ValueError for what an embedding cannot be made of; a model of structures asks for atoms.
        """
        read = statistics_of if self.facts.reads == "statistics" else mean_of
        atoms_LA3 = as_trained(self.facts, atoms_LA3)
        vectors = [read(embed(sequence, atoms_LA3, index_L)) for embed in self.embedders]
        return predict(self.head, np.concatenate(vectors)[None], self.device)[0]

    def labels(self, score_T: np.ndarray, least: float | None = None) -> list[tuple[str, float]]:
        """Labels with a probability of at least `least` (default: the validation's threshold), the highest first."""
        if self.facts.kind == "value":
            return [(self.facts.labels[0], float(score_T[0]))]
        least = self.facts.threshold if least is None else least
        order = [int(t) for t in np.argsort(-score_T, kind="stable") if least is None or score_T[t] >= least]
        return [(self.facts.labels[t], float(score_T[t])) for t in order]


class MutationEffects:
    """Gives what a mutation changes: a number, or the probability that a mutant of a complex binds better."""

    def __init__(self, head: Head, facts: HeadFacts, embedders: list[MutantEmbedder], device: str = "cpu") -> None:
        self.head, self.facts, self.embedders, self.device = head, facts, embedders, device

    @classmethod
    def open(cls, folder: Path | Location, device: str = "cpu") -> "MutationEffects":
        """Read a folder in ``model`` of jobs/stability.py, at a path or an address; ValueError if it is none."""
        head, facts = load_head(folder)
        if facts.noise is not None and facts.mutants < MUTANTS:
            if facts.task == "msp" or is_fused(Location(folder) / STRUCTURE_MODEL):
                raise ValueError(f"{folder}: what it reads of mutations is made in another way now; train it again")
        return cls(head, facts, [mutant_embedder(embed) for embed in _embedders(folder, facts, device)], device)

    def __call__(self, one: MutantInput) -> float:
        """Raises ValueError for what a vector cannot be made of; a model of structures asks for coordinates."""
        one = replace(one, atoms_OA3=as_trained(self.facts, one.atoms_OA3))
        vector_C = np.concatenate([embed(one) for embed in self.embedders])
        if not np.isfinite(vector_C).all():
            raise ValueError("its embedding is not finite")
        return float(predict(self.head, vector_C[None], self.device)[0, 0])


def as_trained(facts: HeadFacts, atoms_LA3: np.ndarray | None) -> np.ndarray | None:
    """The atoms that a head's training has seen: without side chains where that had none."""
    return atoms_LA3 if atoms_LA3 is None or facts.side_chains else atoms_LA3[:, : len(BACKBONE)]


def _embedders(folder: Path | Location, facts: HeadFacts, device: str) -> list[ResidueEmbedder]:
    """What a head reads, in its order."""
    found: list[ResidueEmbedder] = []
    if facts.lm is not None:
        found.append(LanguageModel.open(facts.lm, device))
    if facts.noise is not None:
        found.append(open_structure_model(Location(folder) / STRUCTURE_MODEL, facts.noise, device))
    return found
