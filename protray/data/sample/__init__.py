"""The bundled sample: 1,000 real PDB chains with alignments, DSSP states and backbones; see README.md beside it."""

from pathlib import Path

import numpy as np
import pyarrow as pa

SAMPLE = Path(__file__).with_name("sample.parquet")
LABELS = Path(__file__).with_name("labels.parquet")  # EC, GO, CATH of the same chains
ENZYMES = Path(__file__).with_name("enzymes.parquet")  # more chains with EC numbers; see build_labels.py
FULL_ATOM = Path(__file__).with_name("full_atom.parquet")  # chains with side chains and labels; see build_full_atom.py

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("ss8", pa.string(), nullable=False),
        pa.field("msa", pa.large_binary(), nullable=False),  # codes of `protray.seq.alphabet`, row after row
        pa.field("msa_rows", pa.int32(), nullable=False),  # at most 128, query included
        pa.field("homologs_found", pa.int32(), nullable=False),  # before the cap
        pa.field("cluster", pa.string(), nullable=False),  # 25 % identity
        pa.field("split", pa.string(), nullable=False),
        pa.field("backbone_cA", pa.list_(pa.int16()), nullable=False),  # N, CA, C, O: L x 4 x 3, 0.01 Å from `origin`
        pa.field("origin", pa.list_(pa.float32()), nullable=False),  # Å
    ]
)


def sample_table() -> pa.Table:
    """The sample as a table of ``schemas.PROTEINS``, its counts and Meff computed anew."""
    import pyarrow.parquet as pq

    from protray.data.secondary.proteins import ProteinSettings, protein_row, protein_schema
    from protray.seq.msa import Msa
    from protray.seq.secondary import to_three

    settings = ProteinSettings()
    rows = []
    for raw in pq.read_table(SAMPLE).to_pylist():
        codes_NL = np.frombuffer(raw["msa"], dtype=np.uint8).reshape(raw["msa_rows"], -1)
        row = protein_row(
            Msa(raw["id"], codes_NL), ss3=to_three(raw["ss8"]), ss8=raw["ss8"],
            cluster=raw["cluster"], split=raw["split"], settings=settings,
        )  # fmt: skip
        rows.append(row | {"backbone_cA": raw["backbone_cA"], "origin": raw["origin"]})
    return pa.Table.from_pylist(rows, schema=protein_schema(settings))
