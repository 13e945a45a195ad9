"""From the text of a PDB or mmCIF file to gemmi's structure of its first model, with columns, names and chains mended.

gemmi objects are Any: its stubs are incomplete.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from protray.struct.files.mmcif_columns import block_of_atoms, complete, has_locations, says_plddt, tell_apart
from protray.struct.files.pdb_chains import told_apart
from protray.struct.files.pdb_columns import mend_columns
from protray.struct.files.residue_names import may_be_alias, rename

_COLUMNS_BEFORE_1996 = 72  # of a PDB line; the rest was the entry's name and the line's number
_ATOM = re.compile(rb"\n(?:ATOM  |HETATM)")
_ANISOU = re.compile(rb"\nANISOU[^\n]*")
_PREDICTION = re.compile(r"(ALPHAFOLD|ESMFOLD)\b.* PREDICTION", re.IGNORECASE)  # titles of their databases
_MODEL_END = re.compile(rb"\n(?:ENDMDL|MODEL )")


@dataclass(frozen=True)
class Parsed:
    """One model as gemmi has it, its entities set up."""

    file: Any  # gemmi.Structure
    has_locations: bool  # whether any atom has an alternate location
    in_sequence: bool = False  # whether the file lists its sequences, so that entities and label_seq_id mean something
    names: dict[str, str] = field(default_factory=dict)  # of chains that the file calls otherwise than gemmi
    plddt: bool = False  # whether the file says that its B factors are pLDDT


def parse_pdb(text: bytes, source: str, counts: Counter[str]) -> Parsed:
    """Parse a PDB file's text; counts what was decided.  InputError, or gemmi's errors, if it is damaged."""
    import gemmi

    text = b"\n" + text.rstrip(b"\n") + b"\n"
    first = _ATOM.search(text)
    end = _MODEL_END.search(text, first.end()) if first else None
    if end:
        counts["files_with_several_models"] += _ATOM.search(text, end.end()) is not None
        text = text[: end.start() + 1]
    if _ANISOU.search(text):
        text = _ANISOU.sub(b"\n", text)  # nothing is read of it, and gemmi is strict with it
    text, has_tail = mend_columns(text, source)
    told = told_apart(text, source)
    counts["files_with_several_models"] |= told.copies > 0
    counts["chains_of_one_name"] += told.added
    file = gemmi.read_pdb_string(told.text[1:], max_line_length=0 if has_tail else _COLUMNS_BEFORE_1996)
    predicted = "_struct.title" in file.info and bool(_PREDICTION.search(file.info["_struct.title"]))
    return Parsed(_set_up(file), told.has_locations, names=told.names, plddt=predicted)


def parse_mmcif(text: bytes, counts: Counter[str]) -> Parsed:
    """Parse an mmCIF file's text; counts what was decided.  ColumnsError, or gemmi's errors, if it cannot be read.

    Programs that write models tend to number the residues at hand: entities and places in their sequences mean
    something only in files that list their sequences.
    """
    import gemmi

    block = block_of_atoms(gemmi.cif.read_string(text))
    complete(block)
    counts["chains_of_one_name"] += tell_apart(block)
    file = gemmi.make_structure_from_block(block)
    counts["files_with_several_models"] += len(file) > 1
    del file[1:]
    in_sequence = bool(block.find_values("_entity_poly_seq.entity_id"))
    return Parsed(_set_up(file), has_locations(block), in_sequence, plddt=says_plddt(block))


def _set_up(file: Any) -> Any:
    for chain in file[0] if len(file) else ():
        for residue in chain:
            if may_be_alias(residue.name):
                rename(residue)
    file.merge_chain_parts()
    file.setup_entities()
    return file
