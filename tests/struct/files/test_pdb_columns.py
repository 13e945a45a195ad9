"""Columns of PDB files that programs write: sequences and coordinates equal those of the clean file."""

from collections.abc import Callable

import pytest
from structure_text import SEQUENCE, TWO, each, pdb, pdb_chain, read, same

from protray.seq.errors import InputError


def residue(number: int, name: str, chain: str = "A") -> Callable[[str], str]:
    """Put a name of four letters into columns 18 to 21 of one residue of a chain."""

    def change(line: str) -> str:
        return line[:17] + f"{name:4s}" + line[21:] if line[21:26] == f"{chain}{number:4d}" else line

    return change


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (2, "LYSH"), (2, "LYS+"), (2, "LYSN"), (3, "HISE"), (3, "HISB"), (3, "HISH"), (3, "HIS1"), (3, "HIS_"),
        (3, "HIS+"), (5, "ASPH"), (5, "ASP-"), (6, "GLUH"), (6, "GLU-"), (7, "CYS2"), (7, "CYSH"), (1, "NMET"),
        (12, "CLYS"), (3, "NHIE"), (9, "TYRH"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("chain", ["A", " "])
def test_residue_names_of_four_letters(number, name, chain) -> None:
    """They reach into the columns of the chain, which is named after them, or not at all."""
    lines = pdb_chain(SEQUENCE, chain)
    found = read(each(lines, residue(number, name, chain)))
    same(found.chains, read(pdb(lines)).chains)
    assert found.counts == {}


def test_a_name_of_four_letters_that_begins_in_the_column_before() -> None:
    found = read(each(TWO, lambda line: line[:16] + "LYSH" + line[20:] if line[21:26] == "A   2" else line))
    same(found.chains, read(pdb(TWO)).chains)


def test_a_name_of_four_letters_that_shifts_its_line() -> None:
    found = read(each(TWO, lambda line: line[:17] + "LYSH" + line[20:] if line[17:20] == "LYS" else line))
    same(found.chains, read(pdb(TWO)).chains)


def test_an_unknown_name_of_four_letters_inside_a_chain_is_an_unknown_residue() -> None:
    (chain,) = read(each(pdb_chain(SEQUENCE), residue(8, "QQQZ"))).chains
    assert (chain.id, chain.sequence) == ("A", "MKHLDECXYEVK")


def test_d_amino_acids_of_four_letters_are_as_those_of_three() -> None:
    lines = pdb_chain(SEQUENCE)
    four = read(each(lines, residue(4, "DLEU")))
    three = read(each(lines, residue(4, "DLE")))
    same(four.chains, three.chains)
    assert four.chains[0].sequence == "MKHXDECSYEVK"


@pytest.mark.parametrize("names", [("AA", "AB"), ("HA", "HB"), ("10", "11"), ("aA", "aB")])
def test_chains_of_two_letters_stay(names) -> None:
    lines = [line[:20] + names["AB".index(line[21])] + line[22:] if line != "TER" else line for line in TWO]
    same(read(pdb(lines)).chains, read(pdb(TWO)).chains, names)


def test_a_chain_in_column_21_alone() -> None:
    found = read(each(TWO, lambda line: line[:20] + line[21] + " " + line[22:]))
    same(found.chains, read(pdb(TWO)).chains)


@pytest.mark.parametrize("first", [99_990, 100_000, 9_999_990])
def test_long_serial_numbers_shift_the_line_and_nothing_is_lost(first) -> None:
    serial = iter(range(first, first + 96))
    found = read(each(TWO, lambda line: f"ATOM  {next(serial):5d}" + line[11:]))
    same(found.chains, read(pdb(TWO)).chains)


@pytest.mark.parametrize("serial", ["*****", "186a0", "A0000", "     "])
def test_serial_numbers_that_are_none(serial) -> None:
    same(read(each(TWO, lambda line: line[:6] + serial + line[11:])).chains, read(pdb(TWO)).chains)


def test_serial_numbers_that_reach_into_the_record() -> None:
    same(read(each(TWO, lambda line: "ATOM 100000" + line[11:])).chains, read(pdb(TWO)).chains)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda line: line[:11] + " " + line[11:], "no three coordinates"),  # one to the right
        (lambda line: line[:11] + line[12:], "no three coordinates"),  # one to the left
        (lambda line: line[:26] + " " + line[26:], "no three coordinates"),
        (lambda line: line[:21] + " " + line[21:], "no three coordinates"),
        (lambda line: " " + line, "holds no protein chain"),
        (lambda line: " ".join(line.split()), "Problem in line .* too short"),
        (lambda line: "   ".join(line.split()), "no three coordinates"),  # as in PQR files
        (lambda line: line[:22] + "    " + line[26:], r"no residue number in columns 23-26 \('    '\)"),
        (lambda line: line[:22] + "****" + line[26:], r"no residue number in columns 23-26 \('\*\*\*\*'\)"),
    ],
)
def test_shifted_columns_are_an_error_with_the_first_such_line(change, hint) -> None:
    lines = [change(line) if line.startswith("ATOM") else line for line in TWO]
    with pytest.raises(InputError, match=hint) as caught:
        read(pdb(lines))
    assert len(caught.value.reason) <= 300
    if "protein" in hint:
        return
    assert caught.value.line == 1
    with pytest.raises(InputError) as caught:
        read(pdb(TWO[:49] + lines[49:]))  # chain B, after TER
    assert caught.value.line == 50


def test_waters_whose_numbers_overflow_do_no_harm() -> None:
    water = "ATOM  99999  OW  SOL  ****      50.000  50.000  50.000  1.00  0.00"
    assert len(read(pdb(TWO, [water])).chains) == 2


@pytest.mark.parametrize(
    "tail",
    [
        "      1XYZ{n:4d}",  # before 1996: entry and line
        "      1XYZ{n:4d}  ",
        "    -0.346 OA",  # AutoDock: charge and type
        "    +0.123 A ",
        "        {n:6d}",
        "",
    ],
)
def test_columns_73_to_80_of_other_formats(tail) -> None:
    """Charges are no segments, and line numbers no charges."""
    for name in "A ":
        lines = pdb_chain(SEQUENCE, name)
        text = pdb([line[:66] + tail.format(n=n) if line != "TER" else line for n, line in enumerate(lines, start=1)])
        found = read(text)
        same(found.chains, read(pdb(lines)).chains)
        assert found.counts == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line[:54],  # no occupancy
        lambda line: line[:54] + "  0.00  0.00" + line[66:],
        lambda line: line[:76],  # no element
        lambda line: line[:12] + f"{line[12:16].strip():4s}" + line[16:],  # atom names at the left
        lambda line: line[:54] + "            " + line[66:],
        lambda line: line.rstrip() + " " * 20,
    ],
)
def test_lines_that_say_less(change) -> None:
    same(read(each(TWO, change)).chains, read(pdb(TWO)).chains)


def test_numbers_of_hybrid_36_and_negative_ones() -> None:
    lines = [line.replace("   1 ", "  -1 ").replace("   2 ", "   0 ") for line in pdb_chain(SEQUENCE)]
    (chain,) = read(pdb(lines)).chains
    assert chain.numbers[:4] == ("-1", "0", "3", "4")
    long = [line[:22] + f"{int(line[22:26]) + 9999:5d}" + line[27:] if line != "TER" else line for line in lines[8:]]
    (chain,) = read(pdb(long)).chains
    assert (chain.numbers[0], chain.positions[:2]) == ("10002", (10002, 10003))
    lines = [line[:22] + f"A00{int(line[22:26]) - 1:X}" + line[26:] if line != "TER" else line for line in lines[8:]]
    (chain,) = read(pdb(lines)).chains
    assert chain.numbers[0] == "10002"
