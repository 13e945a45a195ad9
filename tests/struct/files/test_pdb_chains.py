"""Chains that names do not tell apart."""

import numpy as np
import pytest
from structure_text import FAR, SEQUENCE, TWO, each, helix, pdb, pdb_chain, read, same

from protray.seq.errors import InputError

OTHER = "MAHLQECTWEVR"
CLEAN = pdb_chain(SEQUENCE, "A") + pdb_chain(OTHER, "B", helix(12) + FAR)
EXPECTED = read(pdb(CLEAN)).chains


def renamed(lines: list[str], name: str) -> list[str]:
    return [line[:21] + name + line[22:] if line[:4] == "ATOM" else line for line in lines]


def without_ter(lines: list[str]) -> list[str]:
    return [line for line in lines if line != "TER"]


def renumbered(lines: list[str], start: int) -> list[str]:
    """Residue numbers that go on over chains."""
    done, number, last = [], start - 1, ""
    for line in lines:
        if line[:4] == "ATOM":
            number += line[21:26] != last
            last = line[21:26]
            line = line[:22] + f"{number:4d}" + line[26:]
        done.append(line)
    return done


@pytest.mark.parametrize("name", ["A", " "])
@pytest.mark.parametrize("ter", [True, False])
def test_two_chains_of_one_name(name, ter) -> None:
    """Told apart by TER, and where it is missing by numbers that come again."""
    lines = renamed(CLEAN, name)
    found = read(pdb(lines if ter else without_ter(lines)))
    same(found.chains, EXPECTED, ("A", "A-2") if name == "A" else ("1", "2"))
    assert found.counts == {"chains_of_one_name": 1}


@pytest.mark.parametrize("name", ["A", " "])
def test_numbers_that_go_on_over_ter(name) -> None:
    """As Amber writes them: residue 13 is far from residue 12, so it is the first of another chain."""
    found = read(pdb(renamed(renumbered(CLEAN, 1), name))).chains
    assert [chain.sequence for chain in found] == [SEQUENCE, OTHER]
    assert found[1].numbers[0] == "13"
    np.testing.assert_array_equal(found[1].backbone_L43, EXPECTED[1].backbone_L43)


def test_homodimers_of_one_name() -> None:
    """One sequence in two places is two chains, and in one place a model of an ensemble without MODEL lines."""
    far = pdb_chain(SEQUENCE, "A") + pdb_chain(SEQUENCE, "A", helix(12) + FAR)
    near = pdb_chain(SEQUENCE, "A") + pdb_chain(SEQUENCE, "A", helix(12) + np.float32(0.5))
    for change in (list, without_ter):
        assert [chain.id for chain in read(pdb(change(far))).chains] == ["A", "A-2"]
        found = read(pdb(change(near)))
        same(found.chains, EXPECTED[:1])
        assert found.counts == {"files_with_several_models": 1}


def test_many_chains_without_a_name() -> None:
    lines = [line for k in range(5) for line in pdb_chain(SEQUENCE, " ", helix(12) + k * FAR)]
    found = read(pdb(lines))
    assert [chain.id for chain in found.chains] == ["1", "2", "3", "4", "5"]
    assert {chain.sequence for chain in found.chains} == {SEQUENCE}


def test_a_thousand_chains_without_a_name() -> None:
    """As in a capsid: more than there are letters."""
    lines = [
        line for k in range(1000) for line in pdb_chain("MK", " ", helix(2) + np.float32([k % 10, k // 10, 0]) * 30)
    ]
    found = read(pdb(lines)).chains
    assert [chain.id for chain in found] == [str(k) for k in range(1, 1001)]


def test_ter_at_missing_residues_does_not_end_a_chain() -> None:
    """Residues 5 to 7 are missing, and TER stands there: 8 can be reached from 4, so it is one chain, as named."""
    lines = [line for line in pdb_chain(SEQUENCE) if line == "TER" or not 5 <= int(line[22:26]) <= 7]
    at = next(k for k, line in enumerate(lines) if line[22:26] == "   8")
    (chain,) = read(pdb([*lines[:at], "TER", *lines[at:]])).chains
    assert (chain.id, chain.sequence) == ("A", "MKHLYEVK"[:4] + "SYEVK")
    bonded = pdb_chain(SEQUENCE, " ")
    (chain,) = read(pdb([*bonded[:16], "TER", *bonded[16:]])).chains
    assert chain.sequence == SEQUENCE


def test_segments_name_chains_whose_column_is_blank() -> None:
    def segment(line: str) -> str:
        return line[:21] + " " + line[22:66] + "      " + f"PRO{line[21]}" + line[76:]

    for lines in (CLEAN, without_ter(CLEAN), without_ter(renumbered(CLEAN, 1))):
        found = read(each(lines, segment))
        same([found.chains[0]], EXPECTED[:1], ("PROA",))
        assert [(chain.id, chain.sequence) for chain in found.chains] == [("PROA", SEQUENCE), ("PROB", OTHER)]
        np.testing.assert_array_equal(found.chains[1].backbone_L43, EXPECTED[1].backbone_L43)


def test_one_segment_says_nothing() -> None:
    found = read(each(pdb_chain(SEQUENCE, " "), lambda line: line[:66] + "      1ABC" + line[76:]))
    same(found.chains, EXPECTED[:1], ("",))


def test_chains_of_hetatm_alone() -> None:
    """As programs for small molecules write proteins."""
    lines = renamed(CLEAN, "A")
    same(read(each(lines, lambda line: "HETATM" + line[6:])).chains, EXPECTED, ("A", "A-2"))


def test_a_second_chain_that_begins_with_a_modified_residue() -> None:
    lines = [*CLEAN[:49], *("HETATM" + line[6:17] + "MSE" + line[20:] for line in CLEAN[49:53]), *CLEAN[53:]]
    found = read(pdb(renamed([line.replace("HETATM", "ATOM  ") for line in lines], "A")))
    hetero = read(pdb([line[:21] + "A" + line[22:] if line[:3] != "TER" else line for line in lines]))
    for one in (found, hetero):
        same(one.chains, EXPECTED, ("A", "A-2"))
        assert one.counts == {"chains_of_one_name": 1, "modified_residues": 1}


def test_waters_and_ligands_after_the_chains_make_no_chain() -> None:
    late = [
        "HETATM  900  N   GLY A 201      50.000  50.000  50.000  1.00  0.00           N",
        "HETATM  901  CA  GLY A 201      51.000  50.000  50.000  1.00  0.00           C",
        "HETATM  902  C   GLY A 201      52.000  50.000  50.000  1.00  0.00           C",
        "ATOM    903  N   ALA A 202      60.000  50.000  50.000  1.00  0.00           N",
        "ATOM    904  CA  ALA A 202      61.000  50.000  50.000  1.00  0.00           C",
        "HETATM  905  O   HOH A 301      70.000  50.000  50.000  1.00  0.00           O",
        "HETATM  906  O   HOH B   1      80.000  50.000  50.000  1.00  0.00           O",
    ]
    found = read(pdb(CLEAN, late))
    same(found.chains, EXPECTED)
    assert found.counts == {"ligands": 2, "waters": 2}


@pytest.mark.parametrize("name", ["HOH", "SO4", "LIG"])
@pytest.mark.parametrize("at", [0, 24])
@pytest.mark.parametrize("ter", [True, False])
def test_waters_and_ligands_between_residues(name, at, ter) -> None:
    """As in files sorted by number: what follows is of the chain all the same."""
    between = f"HETATM  905  O   {name} A 301      70.000  50.000  50.000  1.00  0.00           O"
    lines = pdb_chain(SEQUENCE)[: None if ter else -1]
    found = read(pdb([*lines[:at], between, between.replace("301 ", "302 "), *lines[at:]]))
    same(found.chains, EXPECTED[:1])
    assert sum(found.counts.values()) == 2


def test_a_residue_after_the_end_of_a_chain_without_a_name_makes_no_chain() -> None:
    late = ["ATOM    904  CA  ALA   202      61.000  50.000  50.000  1.00  0.00           C"]
    found = read(pdb(renamed(CLEAN, " "), late))
    same(found.chains, EXPECTED, ("1", "2"))
    assert found.counts == {"chains_of_one_name": 1, "ligands": 1}


def test_files_put_together() -> None:
    """`cat a.pdb b.pdb`: what follows END is read, too; the same chains again are frames of a trajectory."""
    one, two = pdb(pdb_chain(SEQUENCE)), pdb(pdb_chain(OTHER, "B", helix(12) + FAR))
    same(read(one + two).chains, EXPECTED)
    same(read(one + "HEADER    X\n" + two.replace(" B ", " A ")).chains, EXPECTED, ("A", "A-2"))
    found = read(one + pdb(pdb_chain(SEQUENCE, "A", helix(12) + np.float32(1.0))))
    same(found.chains, EXPECTED[:1])
    assert found.counts == {"files_with_several_models": 1}


@pytest.mark.parametrize(
    ("before", "between", "after"),
    [
        ("MODEL        1", ["ENDMDL", "MODEL        2"], ["ENDMDL"]),
        ("MODEL        1", ["MODEL        2"], []),  # ENDMDL is missing
        ("MODEL        1", ["ENDMDL", "MODEL        1"], ["ENDMDL"]),  # one number twice
        ("REMARK", ["ENDMDL"], ["ENDMDL"]),  # without MODEL
        ("MODEL        1", ["TER", "ENDMDL", "END", "MODEL        2"], ["ENDMDL"]),
    ],
)
def test_the_first_model_alone_is_read(before, between, after) -> None:
    lines = without_ter(CLEAN)
    found = read(pdb([before, *lines, *between, *lines, *after]))
    same(found.chains, EXPECTED)
    assert found.counts == {"files_with_several_models": 1}


def test_one_number_for_two_residues() -> None:
    """Two names are two residues; one name is an error, for the atoms cannot be told apart."""
    lines = [line[:22] + "   3" + line[26:] if line[22:26] == "   4" else line for line in pdb_chain(SEQUENCE)]
    assert read(pdb(lines)).chains[0].sequence == SEQUENCE
    same_name = [line[:17] + "HIS" + line[20:] if line[22:26] == "   3" else line for line in lines]
    with pytest.raises(InputError, match="a second C-alpha atom of residue 'HIS A 3'") as caught:
        read(pdb(same_name))
    assert caught.value.line == 14


def test_names_that_are_taken() -> None:
    names = iter(["A", "A", "A"])
    lines = [line for k in range(3) for line in pdb_chain(SEQUENCE, next(names), helix(12) + k * FAR)]
    assert [chain.id for chain in read(pdb(lines)).chains] == ["A", "A-2", "A-3"]
    blank = (
        pdb_chain(SEQUENCE, " ") + pdb_chain(SEQUENCE, " ", helix(12) + FAR) + pdb_chain(SEQUENCE, "1", helix(12) - FAR)
    )
    assert [chain.id for chain in read(pdb(blank)).chains] == ["2", "3", "1"]


def test_lower_case_names_are_other_chains() -> None:
    lines = [line[:21] + line[21].lower() + line[22:] if line != "TER" else line for line in TWO[49:]]
    assert [chain.id for chain in read(pdb(TWO[:49], lines)).chains] == ["A", "b"]
