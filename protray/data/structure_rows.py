"""From one structure file to rows of the structures table.

Shape key:  L residues   4 backbone atoms (N, CA, C, O)   3 x, y, z in Å
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from protray.data.structures import CA, MISSING, SCALE
from protray.seq.errors import InputError
from protray.struct.breaks import MAX_BOND, count_on, find_breaks, longest_bond
from protray.struct.io import Chain, Structure, parse_structure, structure_stem

MAX_EXTENT = 327.67  # Å from the centre on each axis: what 16 bits hold at 0.01 Å
MIN_CA_STEP = 0.1  # Å; nearer neighbours are placeholders in one place.  Poor decoys do have some below 1 Å
CHAIN_STEPS = (2.5, 4.5)  # Å, C-alpha to C-alpha of bonded neighbours: 2.9 (cis) and 3.8 (trans), give or take


@dataclass(frozen=True, kw_only=True)
class StructureSettings:
    """Which chains are used."""

    min_residues: int = 20  # with C-alpha atoms; shorter ones are peptides
    max_unknown: float = 0.5  # share of X; chains above it have no sequence worth learning
    max_resolution: float | None = None  # Å; leaves out worse ones, keeps those without a resolution (NMR, models)

    def __post_init__(self) -> None:
        if self.min_residues < 2:
            raise ValueError(f"min_residues must be at least 2, got {self.min_residues}")
        if not 0 <= self.max_unknown <= 1:
            raise ValueError(f"max_unknown is a share and must lie in [0, 1], got {self.max_unknown}")
        if self.max_resolution is not None and not self.max_resolution > 0:
            raise ValueError(f"max_resolution is in Å and must be positive, got {self.max_resolution}")


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
        Of ``schemas.STRUCTURES``, `cluster` and `split` empty.
    errors : list of InputError
        One for each chain that is not used; `LeftOutError` where that is a setting's choice.
    counts : Counter
        How often each decision was taken.

    Raises
    ------
    InputError
        If no chain can be read from the file.
    """
    structure = parse_structure(raw, name)
    counts = structure.counts
    rows, errors = [], []
    for chain in structure.chains:
        try:
            row = structure_row(chain, structure, name, settings)
        except InputError as error:
            errors.append(error)
            continue
        rows.append(row)
        counts["breaks"] += len(row["breaks"])
        counts["missing_backbone_atoms"] += int(np.isnan(chain.backbone_L43[:, :, 0]).sum())
    return rows, errors, +counts


def structure_row(chain: Chain, structure: Structure, name: str, settings: StructureSettings) -> dict:
    """Fill one row, or raise InputError with the reason why the chain cannot be used."""
    id, entry = chain_id(chain, structure, structure_stem(name))
    if reason := _too_poor(chain, structure.resolution, settings):
        raise LeftOutError(name, None, f"chain {chain.id!r}: {reason}", id)
    if reason := impossible(chain):
        raise InputError(name, None, f"chain {chain.id!r}: {reason}", id)
    origin_3 = chain.backbone_L43[:, CA].mean(axis=0, dtype=np.float64)
    breaks = find_breaks(chain.backbone_L43)
    return {
        "id": id,
        "sequence": chain.sequence,
        "index": count_on(chain.positions, breaks),
        "backbone_cA": pack_backbone(chain.backbone_L43 - origin_3),
        "origin": origin_3.astype(np.float32),
        "breaks": breaks,
        "resolution": structure.resolution,
        "method": structure.method,
        "source": name,
        "entry": structure.entry or entry,
        "entity": chain.entity,
        "cluster": "",
        "split": "",
    }


def chain_id(chain: Chain, structure: Structure, stem: str) -> tuple[str, str]:
    """The id of a chain and the name of its entry, from the file's: 4hhb.cif holds 4hhb_A, and so does 4hhb_A.pdb."""
    ending = f"_{chain.id}"
    if not chain.id.strip():
        return stem, stem
    if len(structure.chains) == 1 and stem.endswith(ending):
        return stem, stem.removesuffix(ending)
    return stem + ending, stem


def pack_backbone(backbone_L43: np.ndarray) -> np.ndarray:
    """Store coordinates, in Å about the chain's centre, as flat int16 of 0.01 Å; NaN as ``MISSING``."""
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
        return f"{length} residues with C-alpha atoms, fewer than min_residues = {settings.min_residues}"
    if unknown > settings.max_unknown * length:
        return f"{unknown} of {length} residues are unknown, a share above max_unknown = {settings.max_unknown}"
    if settings.max_resolution is not None and (resolution or 0) > settings.max_resolution:
        return f"a resolution of {resolution} Å, worse than max_resolution = {settings.max_resolution}"
    return None
