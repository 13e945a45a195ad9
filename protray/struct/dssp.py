"""Assign secondary structure from coordinates: DSSP's eight states with ``mkdssp``, or three states with pydssp.

Both see backbone atoms only, rewritten as a plain PDB file with chains and residues renumbered.  That is all the
definition needs (Kabsch & Sander 1983), and it spares us what mkdssp 4 refuses or truncates: files of ATOM records
alone (it needs HEADER and CRYST1), chain names of several letters, insertion codes.

Shape key:  L residues   4 backbone atoms (N, CA, C, O)   3 x, y, z in Å
"""

import shutil
import string
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np

from protray.seq.errors import InputError
from protray.seq.secondary import NO_LABEL, to_eight
from protray.struct.files.chain import Chain
from protray.struct.files.io import read_chains
from protray.struct.files.pdb_text import atom_lines
from protray.struct.residues.breaks import MAX_BOND, MIN_BOND, longest_bond

Program = Literal["mkdssp", "pydssp"]

MAX_CHAINS = 62  # one-character chain names of the PDB format
MAX_RESIDUES = 9999  # four columns of the PDB format
MIN_PYDSSP = 6  # pydssp looks five residues ahead
TIMEOUT_S = 300
_NAMES = string.ascii_uppercase + string.ascii_lowercase + string.digits
_CRYST1 = "CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1"


def program() -> Program:
    """The program that `assign` uses on this machine: ``mkdssp`` when it is on PATH."""
    return "mkdssp" if shutil.which("mkdssp") else "pydssp"


def assign(path: str | Path, using: Program | None = None) -> tuple[list[tuple[Chain, str]], Program]:
    """Assign a state to every residue of every chain in a PDB or mmCIF file.

    Returns
    -------
    labels : list of (Chain, str)
        One letter per residue: ``STATES8`` from mkdssp, H, E and C from pydssp; '-' where a backbone atom is missing,
        and for the whole of a chain that has no backbone (`backbone_fault`).
    using : {"mkdssp", "pydssp"}
        The program used; the two agree on 0.97 of residues in three states.

    Raises
    ------
    InputError
        If the file cannot be read or mkdssp fails on it.
    """
    chains = read_chains(path)
    using = using or program()
    sound = [chain for chain in chains if not backbone_fault(chain)]
    found = _mkdssp(sound, path) if using == "mkdssp" and sound else [by_pydssp(chain) for chain in sound]
    states = {id(chain): letters for chain, letters in zip(sound, found, strict=True)}
    return [(chain, states.get(id(chain), NO_LABEL * len(chain.sequence))) for chain in chains], using


def backbone_fault(chain: Chain) -> str | None:
    """Say why no states can be assigned to a chain; None if they can."""
    longest = longest_bond(chain.backbone_L43)
    if np.isnan(longest):
        return f"no residue of {len(chain.sequence)} has N, CA, C and O, which states are assigned by"
    if not MIN_BOND <= longest <= MAX_BOND:
        return f"N, CA and C are {longest:.2f} Å apart, not {MIN_BOND} to {MAX_BOND}: placeholders, or not in Å"
    return None


def _mkdssp(chains: list[Chain], path: str | Path) -> list[str]:
    if len(chains) > MAX_CHAINS or max(len(chain.sequence) for chain in chains) > MAX_RESIDUES:
        raise InputError(
            path, None, f"more than {MAX_CHAINS} chains or {MAX_RESIDUES} residues a chain; split the file"
        )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.pdb", Path(folder) / "out.dssp"
        source.write_text(_as_pdb(chains))
        command = ["mkdssp", "--output-format", "dssp", str(source), str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise InputError(path, None, f"mkdssp took more than {TIMEOUT_S} s") from None
        if done.returncode or not target.exists():
            raise InputError(path, None, f"mkdssp failed: {done.stderr.strip()[:200] or done.returncode}")
        return _parse_dssp(target.read_text(), chains)


def _as_pdb(chains: list[Chain]) -> str:
    """Backbone atoms as PDB text; residue i of chain c is number i + 1 of chain ``_NAMES[c]``."""
    lines = ["HEADER    PROTEIN                                 01-JAN-00   0XXX", _CRYST1]
    for name, chain in zip(_NAMES, chains, strict=False):
        origin_3 = np.nanmean(chains[0].backbone_L43, axis=(0, 1))  # so that coordinates fit their eight columns
        backbone_L43 = chain.backbone_L43 - origin_3
        lines += atom_lines(chain.sequence, backbone_L43, name, len(lines), unknown="ALA")  # mkdssp knows no UNK
        lines.append("TER")
    return "\n".join([*lines, "END", ""])


def _parse_dssp(text: str, chains: list[Chain]) -> list[str]:
    """Read the classic fixed-width DSSP table: residue number in columns 6-10, chain in 12, state in 17."""
    states = [[NO_LABEL] * len(chain.sequence) for chain in chains]
    in_table = False
    for line in text.splitlines():
        if in_table and line[13] != "!":  # '!' marks a chain break
            states[_NAMES.index(line[11])][int(line[5:10]) - 1] = to_eight(line[16])
        in_table = in_table or line.startswith("  #  RESIDUE")
    return ["".join(letters) for letters in states]


def by_pydssp(chain: Chain) -> str:
    """Three states of one chain by itself; hydrogen bonds to other chains are not seen.  '-' where an atom lacks."""
    import pydssp

    complete_L = np.isfinite(chain.backbone_L43).all(axis=(1, 2))
    states_L = np.where(complete_L, "C", NO_LABEL)
    if complete_L.sum() >= MIN_PYDSSP:
        donor_L = np.array([letter != "P" for letter in chain.sequence], dtype=np.float32)  # proline has no N-H
        found = pydssp.assign(chain.backbone_L43[complete_L], donor_mask=donor_L[complete_L])
        states_L[complete_L] = np.where(found == "-", "C", found)
    return "".join(states_L)
