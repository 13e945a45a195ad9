"""From one structure file to rows of the structures table.

Shape key:  L residues   4 backbone atoms (N, CA, C, O)   10 of the side chain   3 x, y, z in Å
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from protray.data.structure.structures import CA, MAX_CHAINS, MISSING, SCALE
from protray.seq.alphabet import encode
from protray.seq.errors import InputError, counted
from protray.struct.files.chain import Chain
from protray.struct.files.io import Structure, parse_structure, structure_stem
from protray.struct.files.side_chains import AtomNames
from protray.struct.residues.atom14 import BACKBONE, HAS
from protray.struct.residues.breaks import MAX_BOND, count_on, find_breaks, longest_bond

MAX_EXTENT = 327.67  # Å from the centre on each axis: what 16 bits hold at 0.01 Å
MIN_CA_STEP = 0.1  # Å; nearer neighbours are placeholders in one place.  Poor decoys do have some below 1 Å
CHAIN_GAP = 512  # in `index` between chains of a complex: who knows of one chain alone sees no neighbours there
MODEL = "THEORETICAL MODEL"  # what files of models may say in place of a method
CHAIN_STEPS = (2.5, 4.5)  # Å, C-alpha to C-alpha of bonded neighbours: 2.9 (cis) and 3.8 (trans), give or take


@dataclass(frozen=True, kw_only=True)
class StructureSettings:
    """Which chains are used, and what is read of them."""

    min_residues: int = 20  # with C-alpha atoms; shorter ones are peptides
    max_unknown: float = 0.5  # share of X; chains above it have no sequence worth learning
    max_resolution: float | None = None  # Å; leaves out worse ones, keeps those without a resolution (NMR, models)
    side_chains: bool = False  # read them beside N, CA, C, O
    # which of two equivalent side-chain atoms is the first: by the IUPAC rule, or as they are named
    atom_names: AtomNames = "iupac"
    complexes: bool = False  # all chains of a file in one row, whose id is that of the file
    # which files have pLDDT in place of B factors: those that say so (AlphaFold's, ESMFold's, ModelCIF), or all models
    plddt: Literal["marked", "all"] = "marked"

    def __post_init__(self) -> None:
        if self.min_residues < 1:
            raise ValueError(f"min_residues must be at least 1, got {self.min_residues}")
        if not 0 <= self.max_unknown <= 1:
            raise ValueError(f"max_unknown is a share and must lie in [0, 1], got {self.max_unknown}")
        if self.max_resolution is not None and not self.max_resolution > 0:
            raise ValueError(f"max_resolution is in Å and must be positive, got {self.max_resolution}")


@dataclass(frozen=True)
class Packed:
    """Atoms of one chain, or of several as one, as ``schemas.STRUCTURES`` has them."""

    backbone_cA: np.ndarray  # noqa: N815
    sidechains_cA: np.ndarray | None  # noqa: N815  (None where they were not read)
    chain_L: np.ndarray | None  # int8, number of the chain of each residue; None for one chain
    origin_3: np.ndarray  # Å, the mean of the C-alpha atoms, about which the others are

    @classmethod
    def of(cls, chains: Sequence[Chain]) -> "Packed":
        """ValueError if several chains are too many, or too far apart."""
        backbone_L43 = np.concatenate([chain.backbone_L43 for chain in chains])
        origin_3 = backbone_L43[:, CA].mean(axis=0, dtype=np.float64)
        chain_L, sides = None, None
        if len(chains) > 1:
            _check_size(backbone_L43 - origin_3, len(chains))
            chain_L = np.repeat(np.arange(len(chains)), [len(chain.sequence) for chain in chains]).astype(np.int8)
        found = [chain.sidechains_L103 for chain in chains if chain.sidechains_L103 is not None]
        if found:
            side_L103 = np.concatenate(found) - origin_3
            side_L103[(np.abs(side_L103) > MAX_EXTENT).any(axis=2)] = np.nan  # at the edge of a chain of that extent
            sides = pack_backbone(side_L103)
        return cls(pack_backbone(backbone_L43 - origin_3), sides, chain_L, origin_3)


def _check_size(backbone_L43: np.ndarray, n_chains: int) -> None:
    """Raise ValueError if a complex about its centre cannot be stored."""
    if n_chains > MAX_CHAINS:
        raise ValueError(f"{n_chains} chains, more than {MAX_CHAINS}, the most that a complex may have")
    if (extent := np.nanmax(np.abs(backbone_L43))) > MAX_EXTENT:
        raise ValueError(
            f"an atom is {extent:.0f} Å from the complex's centre on one axis, at most {MAX_EXTENT} can be stored"
        )


class LeftOutError(InputError):
    """A chain that a setting leaves out: nothing is wrong with it."""


def structure_rows(
    raw: bytes, name: str, settings: StructureSettings
) -> tuple[list[dict], list[InputError], Counter[str]]:
    """Turn the decompressed content of a file into a row for each usable chain.

    Parameters
    ----------
    raw : bytes
    name : str
        The file, or archive and member; the chains are named after it (`chain_id`).
    settings : StructureSettings

    Returns
    -------
    rows : list of dict
        Of ``schemas.STRUCTURES``, `cluster` and `split` empty; and `numbers` of residues in the file, such as 27A.
    errors : list of InputError
        One for each chain that is not used; `LeftOutError` where that is a setting's choice.
    counts : Counter
        How often each decision was taken.

    Raises
    ------
    InputError
        If no chain can be read from the file.
    """
    structure = parse_structure(raw, name, side_chains=settings.side_chains, names=settings.atom_names)
    counts = structure.counts
    usable, rows, errors = [], [], []
    for chain in structure.chains:
        try:
            check_chain(chain, structure, name, settings)
        except InputError as error:
            errors.append(error)
        else:
            usable.append(chain)
    for chains in [usable] if settings.complexes and usable else [[chain] for chain in usable]:
        try:
            row = _row(chains, structure, name, settings, counts)
        except InputError as error:
            errors.append(error)
            continue
        rows.append(row)
        counts["breaks"] += len(row["breaks"]) - len(chains) + 1
        counts["missing_backbone_atoms"] += sum(int(np.isnan(chain.backbone_L43[:, :, 0]).sum()) for chain in chains)
    return rows, errors, +counts


def structure_row(chain: Chain, structure: Structure, name: str, settings: StructureSettings) -> dict:
    """The row of one chain, or InputError with the reason why it cannot be used."""
    check_chain(chain, structure, name, settings)
    return _row([chain], structure, name, settings, Counter())


def check_chain(chain: Chain, structure: Structure, name: str, settings: StructureSettings) -> None:
    """Raise InputError with the reason why a chain cannot be used."""
    id, _ = chain_id(chain, structure, structure_stem(name))
    if reason := _too_poor(chain, structure.resolution, settings):
        raise LeftOutError(name, None, f"chain {chain.id!r}: {reason}", id)
    if reason := impossible(chain):
        raise InputError(name, None, f"chain {chain.id!r}: {reason}", id)


def _row(
    chains: Sequence[Chain], structure: Structure, name: str, settings: StructureSettings, counts: Counter[str]
) -> dict:
    """Fill one row with one chain, or with all of a complex."""
    stem = structure_stem(name)
    id, entry = (stem, stem) if settings.complexes else chain_id(chains[0], structure, stem)
    try:
        packed = Packed.of(chains)
    except ValueError as error:
        raise InputError(name, None, str(error), id) from None
    if packed.sidechains_cA is not None:
        has_L10 = HAS[encode("".join(chain.sequence for chain in chains)), len(BACKBONE) :]
        lost_L10 = packed.sidechains_cA.reshape(*has_L10.shape, 3)[:, :, 0] == MISSING
        counts["missing_side_chain_atoms"] += int((has_L10 & lost_L10).sum())
    index_L, breaks = counted_on(chains)
    return {
        "id": id,
        "sequence": "".join(chain.sequence for chain in chains),
        "index": index_L,
        "backbone_cA": packed.backbone_cA,
        "sidechains_cA": packed.sidechains_cA,
        "chain_index": packed.chain_L,
        "plddt": _plddt(chains, structure, settings, counts),
        "origin": packed.origin_3.astype(np.float32),
        "breaks": breaks,
        "resolution": structure.resolution,
        "method": structure.method,
        "source": name,
        "entry": structure.entry or entry,
        "entity": chains[0].entity if len(chains) == 1 else None,
        "cluster": "",
        "split": "",
        "numbers": [number for chain in chains for number in chain.numbers],
    }


def counted_on(chains: Sequence[Chain]) -> tuple[np.ndarray, np.ndarray]:
    """Index and breaks, from one chain on to the next; int32."""
    index_L, breaks = np.empty(0, np.int32), np.empty(0, np.int32)
    for chain in chains:
        own = find_breaks(chain.backbone_L43)
        done = len(index_L)
        start = index_L[-1] + CHAIN_GAP if done else 0
        breaks = np.concatenate([breaks, [done - 1] if done else [], own + done]).astype(np.int32)
        index_L = np.concatenate([index_L, start + count_on(chain.positions, own)]).astype(np.int32)
    return index_L, breaks


def _plddt(
    chains: Sequence[Chain], structure: Structure, settings: StructureSettings, counts: Counter[str]
) -> np.ndarray | None:
    """Of a predicted model the confidence of each residue, 0 to 100, also where the file has fractions of 1."""
    if structure.method not in (None, MODEL) or not (structure.plddt or settings.plddt == "all"):
        return None
    every_R = np.concatenate([chain.b_factors_L for chain in structure.chains if chain.b_factors_L is not None])
    if not (np.isfinite(every_R).all() and every_R.min() >= 0 and 0 < every_R.max() <= 100):
        counts["b_factors_that_are_no_plddt"] += 1
        return None
    scale = 100 if every_R.max() <= 1 else 1
    found = [chain.b_factors_L for chain in chains if chain.b_factors_L is not None]
    return np.rint(scale * np.concatenate(found)).astype(np.uint8)


def chain_id(chain: Chain, structure: Structure, stem: str) -> tuple[str, str]:
    """The id of a chain and the name of its entry, from the file's: 4hhb.cif holds 4hhb_A, and so does 4hhb_A.pdb."""
    ending = f"_{chain.id}"
    if not chain.id.strip():
        return stem, stem
    if len(structure.chains) == 1 and stem.endswith(ending):
        return stem, stem.removesuffix(ending)
    return stem + ending, stem


def pack_backbone(backbone_L43: np.ndarray) -> np.ndarray:
    """Store coordinates of any atoms, in Å about the chain's centre, as flat int16 of 0.01 Å; NaN as ``MISSING``."""
    packed_L43 = np.where(np.isnan(backbone_L43), MISSING, np.rint(np.nan_to_num(backbone_L43) * SCALE))
    return packed_L43.astype(np.int16).ravel()


def impossible(chain: Chain) -> str | None:
    """Say why the coordinates cannot be those of a protein chain; None if they can."""
    ca_L3 = chain.backbone_L43[:, CA].astype(np.float64)
    lost = np.flatnonzero(~np.isfinite(ca_L3).all(axis=1))
    if lost.size:
        return f"the C-alpha atom of residue {chain.numbers[lost[0]]} has coordinates that are no numbers"
    extent = np.nanmax(np.abs(chain.backbone_L43 - ca_L3.mean(axis=0)[None, None]))
    if not extent <= MAX_EXTENT:
        return f"an atom is {extent:.0f} Å from the centre of the chain on one axis, at most {MAX_EXTENT} can be stored"
    step_L = np.linalg.norm(np.diff(ca_L3, axis=0), axis=1)
    close = np.flatnonzero(step_L < MIN_CA_STEP)
    if close.size:
        first, second = chain.numbers[close[0]], chain.numbers[close[0] + 1]
        return (
            f"the C-alpha atoms of residues {first} and {second} are {step_L[close[0]]:.2f} Å apart "
            f"(so are {close.size} of {step_L.size} pairs of neighbours), less than {MIN_CA_STEP} Å"
        )
    low, high = CHAIN_STEPS
    fitting = int(((step_L >= low) & (step_L <= high)).sum())
    if 2 * fitting < step_L.size:
        return (
            f"only {fitting} of {step_L.size} neighbouring C-alpha atoms are {low} to {high} Å apart (the median is "
            f"{np.median(step_L):.2f} Å): no protein chain in Å"
        )
    if (longest := longest_bond(chain.backbone_L43)) > MAX_BOND:
        return (
            f"N, CA and C of a residue are {longest:.1f} Å apart (median), above {MAX_BOND} Å: placeholders; leave "
            "them out and keep the C-alpha atoms"
        )
    return None


def _too_poor(chain: Chain, resolution: float | None, settings: StructureSettings) -> str | None:
    """Say which setting leaves the chain out; None if none does."""
    length, unknown = len(chain.sequence), chain.sequence.count("X")
    if length < settings.min_residues:
        return f"{counted(length, 'residue')} with C-alpha atoms; {settings.min_residues} are needed"
    if unknown > settings.max_unknown * length:
        return f"{unknown} of {length} residues are unknown, a share above max_unknown = {settings.max_unknown}"
    if settings.max_resolution is not None and (resolution or 0) > settings.max_resolution:
        return f"a resolution of {resolution} Å, worse than max_resolution = {settings.max_resolution}"
    return None
