r"""Vectors of mutations: what an embedding says of the mutated residues, before and after.

For sites s of a protein or a complex, with embeddings :math:`h_s` of the wild type and :math:`h'_s` of the mutant,

.. math:: x = [\overline{h_s}, \; \overline{h'_s - h_s}]

and, of a language model, one number more, its log-odds with each site masked in turn:
:math:`\sum_s \ln p(w_s) - \ln p(m_s)`, positive where the wild type's residue fits better (Meier et al., NeurIPS 2021).
The mutant is looked at in the wild type's structure, since nobody has measured its own.

Shape key:  L residues of all chains   O residues with coordinates   C channels   A 20 amino acids   3 x, y, z in Å
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np

from protray.data.structure.atoms import AtomChain, Text
from protray.data.tasks.mutations import Surroundings, sequences_by_chain
from protray.inference.embeddings.residues import (
    JointEncoder,
    LanguageModel,
    ResidueEmbedder,
    ScoreNet,
    chain_of,
    codes_of,
)
from protray.plm.masked import map_rows
from protray.seq.alphabet import AMINO_ACIDS, encode
from protray.struct.residues.atom14 import BACKBONE, CA

NEAREST = 128  # residues that a model sees around the sites: pairs grow with the square
SMALLEST_P = 1e-6  # probability of a residue


@dataclass(frozen=True)
class MutantInput:
    """What a vector is made of; see `protray.data.tasks.mutations.Mutant`."""

    sequence: str
    starts: tuple[int, ...]
    sites: tuple[int, ...]
    to: str
    places_O: np.ndarray | None = None  # in the sequence, of residues with coordinates
    index_O: np.ndarray | None = None  # their places as a model of structures counts them: on over breaks and chains
    atoms_OA3: np.ndarray | None = None  # Å; NaN where an atom is missing
    chain_O: np.ndarray | None = None  # number of the chain; None for one chain

    @property
    def name(self) -> str:
        """As tables of single proteins spell it.

        >>> MutantInput("MKV", (0,), (1, 2), "AW").name
        'K2A,V3W'
        """
        found = zip(self.sites, self.to, strict=True)
        return ",".join(f"{self.sequence[site]}{site + 1}{letter}" for site, letter in found)

    @property
    def mutant(self) -> str:
        letters = list(self.sequence)
        for site, letter in zip(self.sites, self.to, strict=True):
            letters[site] = letter
        return "".join(letters)


class MutantEmbedder(Protocol):
    """What gives a mutation a vector of `width` numbers; ValueError if it cannot."""

    width: int

    def __call__(self, one: MutantInput) -> np.ndarray: ...


def mutant_embedder(embed: ResidueEmbedder) -> MutantEmbedder:
    """What makes vectors of mutations with the vectors of residues that a model gives."""
    if isinstance(embed, LanguageModel):
        return OfSequence(embed)
    assert isinstance(embed, ScoreNet | JointEncoder)
    return OfStructure(embed)


def single_mutants(
    sequence: str, index_L: np.ndarray | None = None, atoms_LA3: np.ndarray | None = None, start: int = 0,
    stop: int | None = None,
) -> Iterator[MutantInput]:  # fmt: skip
    """The 19 mutants at each residue from `start` to `stop` - 1; X has none.

    >>> [one.name for one in single_mutants("MXV", start=1)][:2]
    ['V3A', 'V3R']
    """
    places_L = None if index_L is None else np.arange(len(sequence), dtype=np.int32)
    for site in range(len(sequence))[start:stop]:
        for letter in AMINO_ACIDS if sequence[site] in AMINO_ACIDS else "":
            if letter != sequence[site]:
                yield MutantInput(sequence, (0,), (site,), letter, places_L, index_L, atoms_LA3)


class OfSequence:
    """By a language model, chain by chain; (2 C + 1) numbers, the last one the log-odds."""

    def __init__(self, embed: LanguageModel) -> None:
        self.embed = embed
        self.width = 2 * embed.width + 1
        self._hidden = lru_cache(maxsize=32)(embed)  # of wild types, which many mutants share
        self._row = lru_cache(maxsize=256)(self._probabilities)

    def __call__(self, one: MutantInput) -> np.ndarray:
        before, after, log_odds = [], [], 0.0
        chains = zip(*(sequences_by_chain(text, one.starts) for text in (one.sequence, one.mutant)), strict=True)
        for start, (wild, mutant) in zip(one.starts, chains, strict=True):
            sites = [site - start for site in one.sites if start <= site < start + len(wild)]
            if not sites:
                continue
            before.append(self._hidden(wild)[sites])
            after.append(self.embed(mutant)[sites])
            for site in sites:
                log_A = np.log(np.maximum(self._row(wild, site), SMALLEST_P))
                old, new = encode(wild[site] + mutant[site])
                log_odds += float(log_A[old] - log_A[new])
        return np.append(_joined(np.concatenate(before), np.concatenate(after)), np.float32(log_odds))

    def _probabilities(self, sequence: str, site: int) -> np.ndarray:
        """P(residue | all others) at a site, shape (20,)."""
        return map_rows(self.embed.lm, encode(sequence), site, site + 1)[0]


def surroundings(one: MutantInput) -> Surroundings:
    """What is around the sites; ValueError without coordinates of the mutated residues."""
    if one.atoms_OA3 is None or one.places_O is None or one.index_O is None:
        raise ValueError("no coordinates, which the model reads; give a structure")
    row_of = {int(at): row for row, at in enumerate(one.places_O)}
    lost = [site for site in one.sites if site not in row_of]
    if lost:
        raise ValueError(f"the mutated residue {lost[0] + 1} has no coordinates")
    rows = [row_of[site] for site in one.sites]
    near_O = nearest(one.atoms_OA3[:, CA], rows)
    sites, place_O = np.searchsorted(near_O, rows).tolist(), one.places_O[near_O]
    index_O, chain_O = one.index_O[near_O], None if one.chain_O is None else one.chain_O[near_O]
    chain_W = np.searchsorted(one.starts, np.arange(len(one.sequence)), side="right").astype(np.int8) - 1

    def seen(sequence: str, atoms_OA3: np.ndarray) -> AtomChain:
        found = chain_of("".join(sequence[at] for at in place_O.tolist()), atoms_OA3, index_O, chain_O)
        return replace(found, text=Text(codes_of(sequence), chain_W, place_O.astype(np.int64)))

    wild_OA3 = one.atoms_OA3[near_O]
    mutant_OA3 = wild_OA3.copy()
    changed = [row for row, at in zip(sites, place_O[sites], strict=True) if one.mutant[at] != one.sequence[at]]
    mutant_OA3[changed, len(BACKBONE) :] = np.nan
    return Surroundings(seen(one.sequence, wild_OA3), seen(one.mutant, mutant_OA3), sites)


class OfStructure:
    """By a model of structures that sees the `surroundings`; 2 C numbers."""

    def __init__(self, embed: ScoreNet | JointEncoder) -> None:
        self.embed = embed
        self.width = 2 * embed.width
        self._wild: tuple[object, np.ndarray] | None = None  # the last one, and what it was made of

    def __call__(self, one: MutantInput) -> np.ndarray:
        seen = surroundings(one)
        made_of = one.sequence, seen.sites, seen.wild.index_L.tobytes(), seen.wild.atoms_LA3.tobytes()
        if self._wild is None or self._wild[0] != made_of:  # mutants of one site often come together
            self._wild = made_of, self.embed.of_chain(seen.wild)[seen.sites]
        return _joined(self._wild[1], self.embed.of_chain(seen.mutant)[seen.sites])


def nearest(ca_O3: np.ndarray, sites: Sequence[int], most: int = NEAREST) -> np.ndarray:
    """Rows of the residues nearest to any of the sites, those included, in their order."""
    off_O = np.linalg.norm(ca_O3[:, None] - ca_O3[list(sites)][None], axis=-1).min(axis=1)
    return np.sort(np.argsort(off_O, kind="stable")[: max(most, len(sites))])


def _joined(before_SC: np.ndarray, after_SC: np.ndarray) -> np.ndarray:
    """Means over sites of the wild type, and of what the mutation changes; float32, shape (2 C,)."""
    return np.concatenate([before_SC.mean(axis=0), (after_SC - before_SC).mean(axis=0)]).astype(np.float32)
