r"""Interaction sites of a complex: residues that other chains cover.

.. math:: \Delta_i = \mathrm{SASA}_i(\text{chain alone}) - \mathrm{SASA}_i(\text{complex}) > 1\ \text{Å}^2

SASA is the area that the centre of a water molecule (1.4 Å) can reach, summed over the atoms of a residue (Shrake and
Rupley, J Mol Biol 1973; radii of Tsai et al., J Mol Biol 1999, by biotite).  The chain alone has the coordinates that
it has in the complex.  This is the usual definition (Jones and Thornton, PNAS 1996).  Guo et al. (AAAI 2022) write that
a site's "absolute solvent accessibility before and after the protein binding is smaller than 1 Å^2": those would be
residues buried in both, which the labels of DeepPPISP, that they use, are not.

Shape key:  L residues of a chain   M atoms of it   3 x, y, z in Å
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache

import numpy as np

from protray.struct.files.chain import HeavyAtoms

LOST = 1.0  # Å^2
OTHER = 1.8  # Å, the radius of what no table has
POINTS = 500  # on the sphere of each atom


def buried_areas(chains: Sequence[HeavyAtoms]) -> list[np.ndarray]:
    """How much area each residue of each chain loses to the other chains, Å^2, shapes (L,).

    It needs side chains: of a backbone alone the area is wrong.
    """
    alone = [areas(chain) for chain in chains]
    together_M = areas(_joined(chains))
    ends = np.cumsum([len(chain.names) for chain in chains])[:-1]
    return [
        np.bincount(chain.residue_M, weights=alone_M - bound_M)
        for chain, alone_M, bound_M in zip(chains, alone, np.split(together_M, ends), strict=True)
    ]


def areas(atoms: HeavyAtoms) -> np.ndarray:
    """Solvent accessible area of each atom, Å^2, float64, shape (M,)."""
    from biotite.structure import AtomArray
    from biotite.structure.sasa import sasa

    kinds = zip(atoms.residue_names, atoms.names, atoms.elements, strict=True)

    array = AtomArray(len(atoms.names))
    array.coord = atoms.xyz_M3
    array.atom_name, array.element = np.array(atoms.names), np.array(atoms.elements)
    array.res_name, array.res_id = np.array(atoms.residue_names), atoms.residue_M + 1
    radius_M = np.array([radius(*kind) for kind in kinds])
    return sasa(array, vdw_radii=radius_M, point_number=POINTS).astype(np.float64)


@cache
def radius(residue: str, atom: str, element: str) -> float:
    """Of an atom with its hydrogens, Å.

    Of one that the table lacks, such as of a modified residue: that of alanine's atom of the name, or of the element.
    """
    from biotite.structure.info.radii import vdw_radius_protor, vdw_radius_single

    for known in (residue, "ALA"):
        with suppress(KeyError):
            if (found := vdw_radius_protor(known, atom)) is not None:
                return float(found)
    with suppress(KeyError):
        if (found := vdw_radius_single(element)) is not None:
            return float(found)
    return OTHER


def _joined(chains: Sequence[HeavyAtoms]) -> HeavyAtoms:
    return HeavyAtoms(
        [name for chain in chains for name in chain.names],
        [name for chain in chains for name in chain.elements],
        [name for chain in chains for name in chain.residue_names],
        np.concatenate([chain.residue_M for chain in chains]),
        np.concatenate([chain.xyz_M3 for chain in chains]),
    )
