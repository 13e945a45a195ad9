"""Build ``full_atom.parquet`` from the raw data.  Run once; kept as its provenance.

    python protray/data/sample/build_full_atom.py --structures ../shared/data/structures

Reads ``fullatom.parquet``: experimental chains with side chains.  Taken is one of each cluster (25 % identity, by
`cluster_by_identity`): 50 to 300 residues, at least 97 % of its side-chain atoms, and of those with an EC number first.
Whatever is related to a chain that the sample or ``enzymes.parquet`` has for validation or test is left out; clusters
with one of their training chains are training clusters, the others are split with seed 0.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from protray.data.sample import ENZYMES, FULL_ATOM, SAMPLE
from protray.data.sample.build_labels import LABEL_FIELDS, OF, SHARES, write
from protray.data.schemas import STRUCTURES
from protray.data.splits import cluster_by_identity, relatives, share_clusters
from protray.data.structure.rows import pack_backbone
from protray.seq.alphabet import AMINO_ACIDS, encode
from protray.seq.keyed import key
from protray.struct.residues.atom14 import ATOMS, CA, HAS, SLOTS
from protray.struct.residues.breaks import count_on, find_breaks
from protray.struct.residues.equivalent_atoms import name_equivalents

LENGTHS = range(50, 301)  # residues
COMPLETE = 0.97  # least share of the side-chain atoms
MOST = 400  # chains: 2.3 MB
IDENTITY = 0.25
STORED: Sequence[str] = (  # the 37 places of the raw data's atoms
    "N CA C CB O CG CG1 CG2 OG OG1 SG CD CD1 CD2 ND1 ND2 OD1 OD2 SD CE CE1 CE2 CE3 NE NE1 NE2 OE1 OE2 CH2 NH1 NH2 OH "
    "CZ CZ2 CZ3 NZ OXT"
).split()
NAMES = ("id", "sequence", "index", "backbone_cA", "sidechains_cA", "cluster", "split")
FIELDS = [*LABEL_FIELDS, *(STRUCTURES.field(name) for name in NAMES if name != "id")]


def atoms_of(row: dict) -> np.ndarray:
    """Atoms in the slots of `atom14`, named by the IUPAC rule; Å, shape (L, 14, 3), NaN where there is none."""
    codes_L = encode(row["sequence"])
    mask_L = np.array(row["atom_mask"], np.uint64)
    there_LM = (mask_L[:, None] >> np.arange(len(STORED), dtype=np.uint64)) & np.uint64(1) == 1
    atoms_LM3 = np.full((*there_LM.shape, 3), np.nan)
    atoms_LM3[there_LM] = np.stack([row["x"], row["y"], row["z"]], axis=1) / 100
    places = np.zeros((len(AMINO_ACIDS) + 1, SLOTS), np.int64)
    for code, aa in enumerate(AMINO_ACIDS):
        places[code, : len(ATOMS[aa])] = [STORED.index(name) for name in ATOMS[aa]]
    atoms_LA3 = np.take_along_axis(atoms_LM3, places[codes_L][:, :, None], axis=1)
    atoms_LA3[~HAS[codes_L]] = np.nan
    return name_equivalents(codes_L, atoms_LA3)[0]


def is_whole(atoms_LA3: np.ndarray, sequence: str) -> bool:
    there_LA = np.isfinite(atoms_LA3[:, :, 0])
    has_LA = HAS[encode(sequence)]
    return bool(there_LA[:, :4].all() and there_LA[:, 4:].sum() >= COMPLETE * has_LA[:, 4:].sum())


def choose(candidates: dict[str, dict], bundled: list[dict]) -> dict[str, tuple[str, str]]:
    """Cluster and split of the chains that are taken."""
    tested = {row["id"]: row["sequence"] for row in bundled if row["split"] != "train"}
    trained = {row["id"]: row["sequence"] for row in bundled if row["split"] == "train"}
    sequences = {id: row["sequence"] for id, row in candidates.items()}
    lost = relatives(sequences, tested, IDENTITY)
    sequences = {id: sequence for id, sequence in sequences.items() if id not in lost}
    found = cluster_by_identity(sequences | trained, IDENTITY)
    of_training = {found[row["id"]]: row["cluster"] for row in bundled if row["id"] in trained}
    first: dict[str, str] = {}
    for id in sorted(sequences, key=lambda id: (not candidates[id]["ec"], key(0, id))):
        first.setdefault(found[id], id)
    ids = sorted(first.values(), key=lambda id: (not candidates[id]["ec"], key(0, id)))[:MOST]
    own = share_clusters({id: found[id] for id in ids if found[id] not in of_training}, seed=0, shares=SHARES)
    return {id: (of_training.get(found[id], found[id]), own.get(id, "train")) for id in ids}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=Path, required=True)
    raw = pq.read_table(parser.parse_args().structures / "fullatom.parquet").to_pylist()
    columns = ["id", "sequence", "cluster", "split"]
    bundled = [row for file in (SAMPLE, ENZYMES) for row in pq.read_table(file, columns=columns).to_pylist()]
    known = {row["id"] for row in bundled}
    fitting = [row for row in raw if len(row["sequence"]) in LENGTHS and row["id"] not in known]
    atoms = {row["id"]: atoms_of(row) for row in fitting}
    candidates = {row["id"]: row for row in fitting if is_whole(atoms[row["id"]], row["sequence"])}
    rows = []
    for id, (cluster, split) in choose(candidates, bundled).items():
        breaks = find_breaks(atoms[id][:, :4])
        centred_LA3 = atoms[id] - atoms[id][:, CA].mean(axis=0)
        rows.append(
            {name: candidates[id][name] for name in ("id", "sequence", *OF)}
            | {"index": count_on(candidates[id]["resnum"], breaks), "cluster": cluster, "split": split}
            | {"backbone_cA": pack_backbone(centred_LA3[:, :4]), "sidechains_cA": pack_backbone(centred_LA3[:, 4:])}
        )
    write(rows, FIELDS, FULL_ATOM)


if __name__ == "__main__":
    main()
