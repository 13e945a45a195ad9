"""Build ``labels.parquet`` and ``enzymes.parquet`` from the raw data.  Run once; kept as their provenance.

    python protray/data/sample/build_labels.py --pdb ../shared/data/pdb

``labels.parquet``   EC numbers, GO terms and CATH classes of the sample's chains
``enzymes.parquet``  more chains that have an EC number, with the same labels, sequence and backbone: one of each
                     25 %-identity cluster of which the sample has none, 50 to 155 residues

Both read ``chains.parquet``.  The sample's chains keep their splits; clusters of the others are split with seed 0.
"""

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from protray.data.sample import ENZYMES, LABELS, SAMPLE
from protray.data.splits import share_clusters

LENGTHS = range(50, 156)  # residues: 2 MB in all
SHARES = (0.1, 0.2)  # of the clusters, for validation and test
OF = ("ec", "go", "cath")
LABEL_FIELDS = [pa.field("id", pa.string(), nullable=False), *(pa.field(name, pa.list_(pa.string())) for name in OF)]
ENZYME_FIELDS = [
    pa.field("sequence", pa.string(), nullable=False),
    pa.field("backbone_cA", pa.list_(pa.int16()), nullable=False),  # N, CA, C, O: L x 4 x 3, 0.01 Å
    pa.field("cluster", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
]


def write(rows: list[dict], fields: list[pa.Field], path: Path) -> None:
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: row["id"]), schema=pa.schema(fields))
    atoms = [name for name in ("backbone_cA", "sidechains_cA") if name in table.column_names]
    coded = {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in atoms} or None
    pq.write_table(
        table, path, compression="zstd", compression_level=19, use_dictionary=False, column_encoding=coded
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdb", type=Path, required=True)
    file = parser.parse_args().pdb / "chains.parquet"
    sample = pq.read_table(SAMPLE, columns=["id", "cluster"]).to_pydict()
    chains = pq.read_table(file, columns=["id", "sequence", "cluster25", *OF]).to_pylist()
    write([row for row in chains if row["id"] in set(sample["id"])], LABEL_FIELDS, LABELS)

    first: dict[str, dict] = {}
    taken = set(sample["cluster"])
    for row in sorted(chains, key=lambda row: row["id"]):
        if row["ec"] and len(row["sequence"]) in LENGTHS and row["cluster25"] not in taken:
            first.setdefault(row["cluster25"], row)
    clusters = {row["id"]: cluster for cluster, row in first.items()}
    splits = share_clusters(clusters, seed=0, shares=SHARES)
    found = pq.read_table(file, columns=["id", "backbone_cA"], filters=[("id", "in", list(clusters))])
    backbones = dict(zip(*found.to_pydict().values(), strict=True))
    more = [
        row | {"backbone_cA": backbones[row["id"]], "cluster": clusters[row["id"]], "split": splits[row["id"]]}
        for row in first.values()
    ]
    write(more, LABEL_FIELDS + ENZYME_FIELDS, ENZYMES)


if __name__ == "__main__":
    main()
