"""Letters that are no protein's, and natural proteins that look a little like them."""

import pytest

from protray.seq.files.kinds import are_states, not_protein, states_beside


@pytest.mark.parametrize(
    ("letters", "said"),
    [
        (b"ACGUACGUUA", "nucleic acids (A, C, G, U, N)"),  # 10 letters, with U
        (b"ACGTACGTTAACGTACGTTA", "nucleic acids (A, C, G, T, N)"),  # 20
        (b"CCHHHHEEEC", "secondary-structure states"),
        (b"--HHHHTTSEEEEGGGTTS-EEEEETTEEEEEHHH-", "secondary-structure states"),
    ],
)
def test_what_is_named(letters, said) -> None:
    reason = not_protein(letters)
    assert reason and said in reason
    assert not_protein(letters + b"F") is None


@pytest.mark.parametrize(
    "letters",
    [
        b"ACGTACGTTAACGTACGTT",  # 19 bases
        b"ACGUACGUU",  # 9 with U
        b"CCHHHHEEE",  # 9 states
        b"A" * 60,
        b"AAT" * 20,  # antifreeze
        b"GAGAGC" * 10,  # silk
        b"E" * 40,
        b"SGSESGTE" * 5,  # a linker
        b"ACGTACGTTAACGTACLLLA",  # too many that are no base
    ],
)
def test_too_short_and_too_simple(letters) -> None:
    assert not_protein(letters) is None


def test_states_come_in_runs() -> None:
    assert are_states(b"HHHHHCCCCC") and not are_states(b"HCHCHCHCHC")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["MKVLAGIVGWKR", "CCHHHHHHHHCC"], True),
        (["MKVLAGIVGWKR\r\n", "CCHHHHHHHHCC\r\n", "\n"], True),
        (["MKVLAGIVGWKRSTAYDEFWMK", "   HHHHHHHTTTTTTT EEEEEE"], False),  # longer than the sequence
        (["MKVLAGIVGWKRSTAYDEFWMKVLAGS", "   HHHHHHHTTTTTTT EEEEEE"], True),  # DSSP: blank for coil, none at the end
        (["MKVLAG", "IVGWKR", "CCHHHH", "HHHHCC"], True),
        (["MKVLAGIVGWKR", "CCHHHHHHHHCC", "CCGGGHHHHHTC"], True),
        (["CCHHHHHHHHCC", "MKVLAGIVGWKR"], True),
        (["MKVLAGIVGWKR", "cchhhhhhhhcc"], True),
        (["MKVLAGIVGWKR", "LLHHHHHHEELL"], True),
        (["MKVLAGIVGWKRSTAYDE", "iiiiMMMMMMMMMMoooo"], True),  # topology of a membrane protein
        (["MKVLAGIVGWKRSTAYDE", "iiiiMMMMMMMMMMoooo", "998765432123456789"], True),
        (["MKVLAGIVGWKRSTAYDE", "SGSGSGSGSGSGSGSGSE"], False),  # a linker
        (["QQQQQQQQQQQQQQQQQQ", "QQQQQQQQQNNNNNNNNN"], False),  # low complexity on both lines
        (["MKVLAGIVGWKR", "CCHHHHHHHHC"], False),  # another length: the rest of a wrapped sequence
        (["MKVLAGIVGWKR", "STAYDEFWMKVL"], False),
        (["EEEEEEEEEEEE", "EEEEEEEEEEEE"], False),
        (["ACD", "HHC"], False),  # too short to tell
        (["CCHHHHHHHHCC"], False),
    ],
)
def test_sequence_and_states(lines, expected) -> None:
    assert states_beside(lines) is expected
