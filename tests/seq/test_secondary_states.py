from pathlib import Path

import numpy as np
import pytest

from protray.seq.errors import InputError
from protray.seq.secondary import STATES8, encode_states, read_3line, to_eight, to_three


def test_eight_to_three() -> None:
    assert to_three("HGIEBTSCP -") == "HHHEECCCCC-"
    assert to_eight("HGIEBTSCP -") == "HGIEBTSCCC-"


def test_codes() -> None:
    assert encode_states("HEC-").tolist() == [0, 1, 2, -100]
    assert encode_states("HGIEBTSC-", STATES8).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, -100]
    assert encode_states("H").dtype == np.int8


def test_foreign_letter() -> None:
    with pytest.raises(ValueError, match="'T' at position 3 is none of 'HEC'"):
        encode_states("HETC")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.3line"
    path.write_bytes(text.encode("latin-1"))
    return path


def test_three_states_leave_ss8_unknown(tmp_path) -> None:
    labels, errors = read_3line(write(tmp_path, ">a note\nACD\nHEC\n\n>b\nmk\n-C\n"))
    assert not errors
    assert [(x.id, x.sequence, x.ss3, x.ss8, x.line) for x in labels] == [
        ("a", "ACD", "HEC", None, 1),
        ("b", "MK", "-C", None, 5),
    ]


def test_one_dssp_letter_makes_the_file_eight_state(tmp_path) -> None:
    labels, _ = read_3line(write(tmp_path, ">a\nACD\nHEC\n>b\nMKL\nGTB\n"))
    assert [(x.ss3, x.ss8) for x in labels] == [("HEC", "HEC"), ("HCE", "GTB")]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n\n"])
@pytest.mark.parametrize("mark", ["", "\xef\xbb\xbf"])
def test_line_ends_and_byte_order_marks(tmp_path, end, mark) -> None:
    labels, errors = read_3line(write(tmp_path, mark + ">a\nACD\nHEC\n".replace("\n", end)))
    assert not errors
    assert (labels[0].id, labels[0].sequence, labels[0].ss3) == ("a", "ACD", "HEC")


def test_a_control_character_is_no_line_end(tmp_path) -> None:
    _, errors = read_3line(write(tmp_path, ">a\nAC\x85D\nHECC\n"))
    assert "position 3 of the sequence" in errors[0].reason


def test_an_id_that_occurs_often_is_told_in_short(tmp_path) -> None:
    _, (error,) = read_3line(write(tmp_path, ">a\nAC\nHH\n" * 2002))
    assert error.reason == "label id 'a' occurs 2002 times: lines 1, 4, 7 and 1,999 more"


BAD = {
    "two lines": (">a\nACD\n", 4, "has 1 lines after its header, expected 2"),
    "wrapped": (">a\nAC\nDE\nHHHH\n", 4, "has 3 lines after its header"),
    "lengths": (">a\nACDE\nHHH\n", 4, "the sequence has 4 letters, the labels 3"),
    "foreign label": (">a\nACDE\nHHQH\n", 4, "'Q' at position 3 of the labels"),
    "foreign residue": (">a\nA1DE\nHHHH\n", 4, "'1' at position 2 of the sequence"),
    "non-ASCII": (">a\nA\xc4DE\nHHHH\n", 4, "position 2 of the sequence"),
    "no id": (">\nACDE\nHHHH\n", 4, "the header has no id"),
    "duplicate id": (">a\nAC\nHH\n>a\nAC\nEE\n", 4, "label id 'a' occurs 2 times: lines 4, 7"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_does_not_stop_the_others(tmp_path, name) -> None:
    text, line, reason = BAD[name]
    labels, errors = read_3line(write(tmp_path, ">good\nAC\nHH\n" + text + ">also\nDE\nCC\n"))
    assert [label.id for label in labels] == ["good", "also"]
    assert [error.line for error in errors] == [line]
    assert reason in errors[0].reason


@pytest.mark.parametrize(("text", "reason"), [("", "empty"), ("ACD\nHHH\n", "expected '>id'"), (">a\0", "NUL")])
def test_unreadable_file(tmp_path, text, reason) -> None:
    with pytest.raises(InputError, match=reason):
        read_3line(write(tmp_path, text))
