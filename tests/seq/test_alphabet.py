import pytest

from protray.seq.alphabet import AMINO_ACIDS, GAP, INVALID, N_AA, PAD, UNKNOWN, decode, encode


def test_order_is_that_of_psi_blast() -> None:
    assert AMINO_ACIDS == "ARNDCQEGHILKMFPSTWYV"
    assert encode("ARV").tolist() == [0, 1, 19]


def test_round_trip() -> None:
    assert decode(encode(AMINO_ACIDS + "X-")) == AMINO_ACIDS + "X-"
    assert decode(encode("BZJUO.*")) == "XXXXX--"


def test_bytes_and_text_are_the_same() -> None:
    assert encode(b"ACD-").tolist() == encode("ACD-").tolist() == [0, 4, 3, GAP]


@pytest.mark.parametrize("letter", ["a", "1", " ", "é", "€", "\0"])
def test_what_is_no_residue_is_invalid(letter) -> None:
    assert encode(letter).tolist() == [INVALID]


def test_special_codes_are_no_residue() -> None:
    assert len({UNKNOWN, GAP, PAD, INVALID}) == 4
    assert min(UNKNOWN, GAP, PAD, INVALID) == N_AA
