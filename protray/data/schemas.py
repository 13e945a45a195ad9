"""The Arrow schemas of every table that protray reads or writes; plain Arrow types, readable without Ray.

Ragged L x 20 arrays are flat lists, row-major, with the residue order in the schema's metadata.  Those of maps are
large lists: 32-bit offsets end at 2^31 numbers, which is 350,000 proteins of 300 residues.  Alignments are bytes: one
code per residue, row after row, the query first.
"""

import pyarrow as pa

from protray.models.tasks.graphqa_config import GLOBAL
from protray.seq.alphabet import AMINO_ACIDS
from protray.struct.residues.atom14 import ATOMS, BACKBONE

VERSION = "1"
_ORDER = {"protray_schema": VERSION, "residue_order": AMINO_ACIDS, "msa_codes": AMINO_ACIDS + "X-"}
_SIDE_CHAINS = ", ".join(" ".join((aa, *atoms[len(BACKBONE) :])) for aa, atoms in ATOMS.items())  # "A CB, R CB CG ..."

PROTEINS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),  # the query, upper case; X for what is none of the 20
        pa.field("ss3", pa.string()),  # H, E, C per residue; '-' where there is no label; null without labels
        pa.field("ss8", pa.string()),  # DSSP letters with C for coil; null where only three states are known
        pa.field("n_rows", pa.int32(), nullable=False),  # N: rows of the whole alignment, query included
        pa.field("msa_count", pa.int32(), nullable=False),  # homologs: n_rows - 1
        pa.field(
            "meff", pa.float32(), nullable=False
        ),  # effective number of sequences; its identity is in the metadata
        pa.field("counts", pa.list_(pa.int32()), nullable=False),  # C, L x 20, over the whole alignment
        pa.field("msa", pa.large_binary(), nullable=False),  # codes, at most `max_rows` rows, drawn without replacement
        pa.field("msa_rows", pa.int32(), nullable=False),  # rows in `msa`
        pa.field("cluster", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # train, validation or test
        pa.field(
            "backbone_cA", pa.list_(pa.int16())
        ),  # N, CA, C, O: L x 4 x 3, 0.01 Å from `origin`, -32768 for a missing atom; null without structure
        pa.field("origin", pa.list_(pa.float32())),  # Å
    ],
    metadata=_ORDER,
)

STRUCTURES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),  # residues with C-alpha; X for what is none of the 20
        # place in the chain, from 0, counted on over breaks; on over the chains of a complex, with a gap between them
        pa.field("index", pa.list_(pa.int32()), nullable=False),
        pa.field("backbone_cA", pa.list_(pa.int16()), nullable=False),  # as in PROTEINS
        # L x 10 x 3, as the backbone, in the order of the metadata; null where side chains were not asked for.  Older
        # datasets lack this column and the next two
        pa.field("sidechains_cA", pa.list_(pa.int16())),
        pa.field("chain_index", pa.list_(pa.int8())),  # number of the chain, from 0; null for one chain
        pa.field("plddt", pa.list_(pa.uint8())),  # of predicted models, 0 to 100; null for experiments
        pa.field("origin", pa.list_(pa.float32()), nullable=False),  # Å; the mean of the C-alpha atoms
        pa.field("breaks", pa.list_(pa.int32()), nullable=False),  # residues i, from 0, that are not bonded to i + 1
        pa.field("resolution", pa.float32()),  # Å; null where the method has none (NMR) or the file does not say
        pa.field("method", pa.string()),  # as the file says, upper case; null where it does not
        pa.field("source", pa.string(), nullable=False),  # the file; archive and member for archives
        pa.field("entry", pa.string(), nullable=False),  # e.g. 4HHB, as the file says, else the file's name
        pa.field("entity", pa.string()),  # of the chain in mmCIF files that list sequences; null in others
        pa.field("cluster", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # train, validation or test
    ],
    metadata={"protray_schema": VERSION, "side_chains": _SIDE_CHAINS},
)

DECOYS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # of the target: train, validation or test
        pa.field("kind", pa.string(), nullable=False),  # "derived: torsion" and the like, or "file"
        pa.field("sequence", pa.string(), nullable=False),  # as in STRUCTURES, and the next two
        pa.field("index", pa.list_(pa.int32()), nullable=False),
        pa.field("backbone_cA", pa.list_(pa.int16()), nullable=False),
        # against the native; null where it is not known
        *(pa.field(name, pa.float32()) for name in GLOBAL),
        pa.field("residue_lddt", pa.list_(pa.float32()), nullable=False),  # L, null where the native has no residue
        pa.field("residue_cad", pa.list_(pa.float32()), nullable=False),
    ],
    metadata={"protray_schema": VERSION},
)

QUALITY = pa.schema(
    [
        pa.field("method", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),  # of the decoy
        pa.field("target", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        *(pa.field(name, pa.float32(), nullable=False) for name in GLOBAL),
        *(pa.field(f"true_{name}", pa.float32()) for name in GLOBAL),  # null: unknown
        pa.field("residue_lddt", pa.list_(pa.float32()), nullable=False),  # L
        pa.field("residue_cad", pa.list_(pa.float32()), nullable=False),
    ],
    metadata={"protray_schema": VERSION},
)

ASSESSED = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # of the chain
        pa.field("file", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        *(pa.field(name, pa.float32(), nullable=False) for name in ("tm", "gdt_ts", "gdt_ha", "lddt")),  # predicted
        pa.field("residue_lddt", pa.list_(pa.float32()), nullable=False),  # L, predicted
    ],
    metadata={"protray_schema": VERSION},
)

SITES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),  # 1 for an interaction site, 0 for none, - for not known
        pa.field("cluster", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # train, validation or test
        pa.field("index", pa.list_(pa.int32())),  # as in STRUCTURES, and the next; null without a structure
        pa.field("backbone_cA", pa.list_(pa.int16())),
        pa.field("pssm", pa.list_(pa.float32())),  # L x 20; null where there is none
        pa.field("dssp", pa.list_(pa.int8())),  # L, classes from 0; null where there is none
    ],
    metadata={"protray_schema": VERSION, "residue_order": AMINO_ACIDS},
)

FOUND_SITES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("site", pa.string(), nullable=False),  # 1 where `prob` is at least the model's threshold
        pa.field("prob", pa.list_(pa.float32()), nullable=False),  # L, of being an interaction site
        pa.field("residues", pa.list_(pa.string())),  # L, as the structure file numbers them (27A); null of a sequence
    ],
    metadata={"protray_schema": VERSION},
)

EXAMPLES = pa.schema(  # what a head is trained on
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # train, validation or test
        pa.field("cluster", pa.string(), nullable=False),
        pa.field("sets", pa.list_(pa.string()), nullable=False),  # test sets that it is in, beside the whole one
        pa.field("target", pa.list_(pa.float32()), nullable=False),  # 0 and 1 of each label, or one number
    ],
    metadata={"protray_schema": VERSION},
)

FUNCTIONS = pa.schema(
    [
        pa.field("method", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("true", pa.list_(pa.string()), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),  # predicted, the most probable first
        pa.field("scores", pa.list_(pa.float32()), nullable=False),  # of these
    ],
    metadata={"protray_schema": VERSION},
)

STABILITIES = pa.schema(
    [
        pa.field("method", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),  # of the measurement
        pa.field("cluster", pa.string(), nullable=False),
        pa.field("true", pa.float32(), nullable=False),  # in the unit of the table; of msp 1 binds better
        pa.field("predicted", pa.float32(), nullable=False),  # of msp a probability
    ],
    metadata={"protray_schema": VERSION},
)

ANNOTATED = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),  # predicted, the most probable first
        pa.field("scores", pa.list_(pa.float32()), nullable=False),  # probabilities; of a number, its value
    ],
    metadata={"protray_schema": VERSION},
)

EFFECTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # of the mutant in a table; else of the protein or chain
        pa.field("file", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),  # of the wild type; chains of a complex one after the other
        # as the table has it; else A42G, position 42 of `sequence` from 1
        pa.field("mutation", pa.string(), nullable=False),
        pa.field("residue", pa.string()),  # in a scan of a structure file, as the file numbers it (27A); else null
        # in the sign and unit of the training's table; of msp the probability that the mutant binds better
        pa.field("predicted", pa.float32(), nullable=False),
    ],
    metadata={"protray_schema": VERSION},
)

REJECTED = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int64()),  # 1-based; null where no line is to blame
        pa.field("reason", pa.string(), nullable=False),
    ],
    metadata={"protray_schema": VERSION},
)

MAPS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("prob_map", pa.large_list(pa.float32()), nullable=False),  # P(residue | all others), L x 20
        pa.field("lm_hidden", pa.large_list(pa.float16())),  # last hidden state, L x C; null when it was not asked for
    ],
    metadata=_ORDER,
)

MAPS_FLOAT16 = MAPS.set(2, pa.field("prob_map", pa.large_list(pa.float16()), nullable=False))  # half the size

PSEUDO_PSSMS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("pssm", pa.list_(pa.float32()), nullable=False),  # X_b, L x 20; its background is in the metadata
    ],
    metadata=_ORDER,
)

PREDICTIONS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("ss3", pa.string(), nullable=False),
        pa.field("prob", pa.list_(pa.float32()), nullable=False),  # L x 3, columns H, E, C
        pa.field("msa_count", pa.int32(), nullable=False),
        pa.field("pssm_enhanced", pa.list_(pa.float32()), nullable=False),  # X_e, L x 20
    ],
    metadata=_ORDER | {"state_order": "HEC"},
)

EMBEDDINGS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("embedding", pa.list_(pa.float32()), nullable=False),  # C numbers (protein), or L x C (residue)
    ],
    metadata={"protray_schema": VERSION},  # and `level` and `channels` (C) in every file
)

PAIR_EMBEDDINGS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),  # the first residue i, from 0; other than 0 in long chains only,
        # which have several rows, one after the other in one file: each as many whole residues i as fit into 32 MB
        pa.field("embedding", pa.large_list(pa.float16()), nullable=False),  # residues i x L x C
    ],
    metadata={"protray_schema": VERSION},
)


def check(table: pa.Table, schema: pa.Schema, source: str) -> None:
    """Raise ValueError naming the first column of `table` that is missing or of another type than in `schema`."""
    for field in schema:
        if field.name not in table.column_names:
            raise ValueError(f"{source}: column {field.name!r} is missing; it has {table.column_names}")
        found = table.schema.field(field.name).type
        if found != field.type:
            raise ValueError(f"{source}: column {field.name!r} is {found}, expected {field.type}")
