"""Columns that programs leave out of mmCIF files."""

import pytest
from structure_text import mmcif, read, same

from protray.seq.errors import InputError

CHAINS = [("A", "1", "MKHLDECSYEVK", list(range(1, 13))), ("B", "2", "ACDEF", [2, 3, 4, 7, 8])]
CLEAN = mmcif(CHAINS)
COLUMNS = [line.removeprefix("_atom_site.") for line in CLEAN.splitlines() if line.startswith("_atom_site.")]
EXPECTED = read(CLEAN, "x.cif").chains


def change(alter, text: str = CLEAN) -> str:
    """The file with a table of atoms that `alter` made of the columns' names and the rows."""
    lines = text.splitlines()
    first = lines.index(f"_atom_site.{COLUMNS[0]}")
    last = next(k for k in range(first, len(lines)) if lines[k] == "#")
    names, rows = COLUMNS, [line.split() for line in lines[first + len(COLUMNS) : last]]
    names, rows = alter(list(names), rows)
    table = [f"_atom_site.{name}" for name in names] + [" ".join(row) for row in rows]
    return "\n".join([*lines[:first], *table, *lines[last:], ""])


def without(*dropped: str, text: str = CLEAN) -> str:
    kept = [k for k, name in enumerate(COLUMNS) if name not in dropped]
    return change(lambda names, rows: ([names[k] for k in kept], [[row[k] for k in kept] for row in rows]), text)


def put(text: str = CLEAN, **values: str) -> str:
    """Every row with a value."""
    places = {COLUMNS.index(name): value for name, value in values.items()}
    return change(
        lambda names, rows: (names, [[places.get(k, cell) for k, cell in enumerate(row)] for row in rows]), text
    )


OPTIONAL = (
    "label_alt_id", "type_symbol", "id", "group_PDB", "occupancy", "B_iso_or_equiv", "pdbx_PDB_model_num",
    "pdbx_PDB_ins_code", "label_entity_id",
)  # fmt: skip


@pytest.mark.parametrize("dropped", [*((name,) for name in OPTIONAL), OPTIONAL])
def test_columns_that_may_be_missing(dropped) -> None:
    found = read(without(*dropped), "x.cif")
    same(found.chains, EXPECTED)
    assert found.counts == {}


@pytest.mark.parametrize("name", ["label_alt_id", "occupancy", "B_iso_or_equiv", "pdbx_PDB_ins_code"])
@pytest.mark.parametrize("value", [".", "?"])
def test_columns_without_values(name, value) -> None:
    same(read(put(**{name: value}), "x.cif").chains, EXPECTED)


def test_names_and_numbers_of_one_kind_are_enough() -> None:
    """Of label_ and auth_ either will do."""
    label = read(without("auth_asym_id", "auth_seq_id"), "x.cif").chains
    assert [(chain.id, chain.sequence, chain.numbers[0]) for chain in label] == [
        ("xA", "MKHLDECSYEVK", "1"),
        ("xB", "ACDEF", "2"),
    ]
    author = read(without("label_asym_id", "label_seq_id", text=mmcif(CHAINS, sequences=False)), "x.cif").chains
    same(author, EXPECTED)


@pytest.mark.parametrize(
    ("dropped", "named"),
    [
        (("Cartn_y",), "_atom_site.Cartn_y"),
        (("Cartn_x", "Cartn_y", "Cartn_z"), "_atom_site.Cartn_x and _atom_site.Cartn_y and _atom_site.Cartn_z"),
        (("label_atom_id",), r"_atom_site.label_atom_id \(or auth_atom_id\)"),
        (("label_comp_id",), r"_atom_site.label_comp_id \(or auth_comp_id\)"),
        (("label_asym_id", "auth_asym_id"), r"_atom_site.label_asym_id \(or auth_asym_id\)"),
        (("label_seq_id", "auth_seq_id"), r"_atom_site.label_seq_id \(or auth_seq_id\)"),
    ],
)
def test_columns_that_must_be_there_are_named(dropped, named) -> None:
    with pytest.raises(InputError, match=f"lacks the column {named}$"):
        read(without(*dropped), "x.cif")


def test_two_chains_of_one_authors_name_are_told_apart_by_labels() -> None:
    """Even where residues have one name and number."""
    text = mmcif([("A", "1", "MKHLDECSYEVK", list(range(1, 13))), ("B", "1", "MAHLQECTWEVR", list(range(1, 13)))])
    expected = read(text, "x.cif").chains
    found = read(put(text, auth_asym_id="A"), "x.cif")
    same(found.chains, expected, ("A", "A-2"))
    assert found.counts == {"chains_of_one_name": 1}
    with pytest.raises(InputError, match="has two C-alpha atoms far apart"):
        moved = change(lambda names, rows: (names, rows + [[*row[:10], "90.0", *row[11:]] for row in rows]), text)
        read(moved, "x.cif")


def test_numbers_with_insertion_codes_in_one_column() -> None:
    """As old files have them."""
    text = change(
        lambda names, rows: (names, [[cell + "A" if k == 15 else cell for k, cell in enumerate(row)] for row in rows])
    )
    assert read(text, "x.cif").chains[0].numbers[:2] == ("101A", "102A")


def test_several_blocks_with_atoms() -> None:
    """Two structures in one file are an error; blocks without atoms are not."""
    with pytest.raises(InputError, match=r"2 data blocks have atoms \(1ABC, 2ABC\): split it into files of one"):
        read(CLEAN + CLEAN.replace("1ABC", "2ABC"), "x.cif")
    same(read("data_comp_ALA\n_chem_comp.id ALA\n" + CLEAN, "x.cif").chains, EXPECTED)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data_x\n_cell_length_a 5\nloop_\n_atom_site_label\n_atom_site_fract_x\nC1 0.1\n", "of a small molecule"),
        ("data_x\nloop_\n_chem_comp_atom.comp_id\n_chem_comp_atom.atom_id\nALA CA\n", "of a small molecule"),
        ("data_x\nloop_\n_refln.index_h\n_refln.index_k\n1 2\n", r"\(no atoms\)"),
        ("data_x\nloop_\n_a.b\n_a.c\n1 2\n3\n", "x.cif:2: cannot be read as cif: .*Wrong number of values"),
    ],
)
def test_cif_files_without_a_protein(text, reason) -> None:
    with pytest.raises(InputError, match=reason):
        read(text, "x.cif")


def test_no_numbers_for_coordinates() -> None:
    (chain, *_) = read(put(Cartn_x="?"), "x.cif").chains
    assert (chain.backbone_L43[:, :, 0] != chain.backbone_L43[:, :, 0]).all()
