"""Build ``sites.parquet``, the bundled interaction sites, from chains with side chains.  Run once; kept as provenance.

    python protray/data/sites/build.py --complexes ../shared/data/complexes/skempi_chains.parquet

The input has all chains of 317 PDB entries, of which SKEMPI 2.0 measured affinities.  A row is a chain, labelled
against all other chains of its entry.  At most 3 chains of different sequences are kept of a 25 %-identity cluster,
those whose ids come first; clusters are shared among the splits with seed 0.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.data import schemas
from protray.data.sites.table import BUNDLED
from protray.data.splits import cluster_by_identity, share_clusters
from protray.data.structure.rows import pack_backbone
from protray.struct.files.chain import HeavyAtoms
from protray.struct.interface import LOST, buried_areas
from protray.struct.residues.breaks import count_on, find_breaks

MIN_RESIDUES = 30
OF_CLUSTER = 3
SHARES = (0.15, 0.25)  # validation and test
ATOMS = (
    "N CA C CB O CG CG1 CG2 OG OG1 SG CD CD1 CD2 ND1 ND2 OD1 OD2 SD CE CE1 CE2 CE3 NE NE1 NE2 OE1 OE2 CH2 NH1 NH2 OH "
    "CZ CZ2 CZ3 NZ OXT"
).split()  # the order of the input's `atom_mask`
NAMES = dict(
    zip(
        "ARNDCQEGHILKMFPSTWYVX",
        "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL UNK".split(),
        strict=True,
    )
)


def decoded(row: dict) -> tuple[HeavyAtoms, np.ndarray]:
    """The atoms of a chain, and its backbone (L, 4, 3)."""
    mask_L = np.array(row["atom_mask"], np.uint64)[:, None]
    present_LK = (mask_L >> np.arange(len(ATOMS), dtype=np.uint64)) & np.uint64(1) == 1
    residue_M, atom_M = np.nonzero(present_LK)
    xyz_M3 = np.stack([row[axis] for axis in "xyz"], axis=1) / 100 + np.array(row["origin"])
    every_LK3 = np.full((*present_LK.shape, 3), np.nan)
    every_LK3[present_LK] = xyz_M3
    atoms = HeavyAtoms(
        [ATOMS[k] for k in atom_M], [ATOMS[k][0] for k in atom_M], [NAMES[row["sequence"][n]] for n in residue_M],
        residue_M, xyz_M3.astype(np.float32),
    )  # fmt: skip
    return atoms, every_LK3[:, [ATOMS.index(name) for name in ("N", "CA", "C", "O")]]


def labelled(entry: list[dict]) -> list[dict]:
    """Rows of the chains of an entry, without cluster and split."""
    chains = [decoded(row) for row in entry]
    rows = []
    for row, (_, backbone_L43), lost_L in zip(entry, chains, buried_areas([atoms for atoms, _ in chains]), strict=True):
        middle_3 = backbone_L43[:, 1].mean(axis=0)
        rows.append(
            {
                "id": row["id"], "sequence": row["sequence"],
                "label": "".join("01"[int(lost > LOST)] for lost in lost_L),
                "index": count_on(row["resnum"], find_breaks(backbone_L43)),
                "backbone_cA": pack_backbone(backbone_L43 - middle_3), "pssm": None, "dssp": None,
            }
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--complexes", type=Path, required=True)
    entries = defaultdict(list)
    for row in pq.read_table(parser.parse_args().complexes).to_pylist():
        entries[row["id"].rpartition("_")[0]].append(row)
    rows = {row["id"]: row for entry in entries.values() for row in labelled(entry)}
    long = {id: row["sequence"] for id, row in rows.items() if len(row["sequence"]) >= MIN_RESIDUES}
    cluster_of = cluster_by_identity(long)
    kept: dict[str, dict[str, str]] = defaultdict(dict)  # cluster -> sequence -> id
    for id in sorted(long):
        of_cluster = kept[cluster_of[id]]
        if long[id] not in of_cluster and len(of_cluster) < OF_CLUSTER:
            of_cluster[long[id]] = id
    split_of = share_clusters({id: cluster for cluster, ids in kept.items() for id in ids.values()}, shares=SHARES)
    table = [rows[id] | {"cluster": cluster_of[id], "split": split} for id, split in sorted(split_of.items())]
    rows_in_order = pa.Table.from_pylist(table, schema=schemas.SITES)
    pq.write_table(
        rows_in_order, BUNDLED, row_group_size=64, compression="zstd", compression_level=19, write_page_checksum=True
    )
    print(f"{BUNDLED}: {len(table)} chains, {BUNDLED.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
