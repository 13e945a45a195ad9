"""Readings, windows and costs by hand and by property; windowed maps against windows read one by one; little memory."""

import numpy as np
import pytest
import torch
from tiny_model import save_tiny_lm

from protray.plm import masked
from protray.plm.masked import LanguageModel, hidden_rows, load, map_rows, probability_map
from protray.plm.passes import esm
from protray.plm.reading import Reading, Window, forward_tokens, row_tokens, windows
from protray.seq.alphabet import encode

SEQUENCE = "MKTAYIAKQRXLEDWCCHFGPNSV" * 3  # 72 residues


@pytest.fixture(scope="module")
def rotary(tmp_path_factory) -> LanguageModel:
    return load(str(save_tiny_lm(tmp_path_factory.mktemp("lm"))))


@pytest.fixture(scope="module")
def absolute(tmp_path_factory) -> LanguageModel:
    """Reads 36 residues."""
    return load(str(save_tiny_lm(tmp_path_factory.mktemp("lm"), positions="absolute")))


def test_windows_by_hand() -> None:
    """25 residues, 10 a window, 4 shared: (25 - 4) / (10 - 4) = 3.5, so 4 windows, 15 / 3 = 5 apart, 5 shared."""
    assert windows(25, 10, 4) == [
        Window(0, 10, 0, 7),
        Window(5, 15, 7, 12),
        Window(10, 20, 12, 17),
        Window(15, 25, 17, 25),
    ]
    assert windows(11, 10, 0) == [Window(0, 10, 0, 5), Window(1, 11, 5, 11)]
    assert windows(10, 10, 4) == windows(10, None) == [Window(0, 10, 0, 10)]
    assert windows(20, 10)[1] == Window(5, 15, 7, 12)  # half a window is shared unless said otherwise


def test_each_position_is_kept_once_with_context() -> None:
    for limit, overlap in [(2, 1), (3, 0), (7, 6), (10, 4), (16, 8)]:
        for length in range(1, 80):
            cut = windows(length, limit, overlap)
            assert [n for window in cut for n in range(window.start, window.stop)] == list(range(length))
            for window in cut:
                assert 0 <= window.first <= window.start < window.stop <= window.last <= length
                assert window.last - window.first == min(length, limit)
                assert window.first == 0 or window.start - window.first >= overlap // 2
                assert window.last == length or window.last - window.stop >= overlap // 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 10, "overlap": 10}, "windows of 10 residues cannot share 10; the overlap must be smaller"),
        ({"overlap": -1}, "windows cannot share -1 residues"),
        ({"window": 1}, "a window of 1 residues is too short"),
        ({"passes": 1}, "passes is 1; it must be exact, or at least 2"),
        ({"passes": "few"}, "passes is 'few'; it must be exact, or at least 2"),
        ({"precision": "float16"}, "precision is 'float16'; it must be one of float32, bfloat16"),
    ],
)
def test_readings_that_cannot_be(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        Reading(**settings)


def test_the_smaller_limit_counts() -> None:
    cases = [(5, 9), (9, 5), (None, 5), (5, None), (None, None)]
    assert [Reading(window=size).limit(longest) for size, longest in cases] == [5, 5, 5, 5, None]


def test_cost_by_hand() -> None:
    """100 residues: 100 passes of 102 tokens; 16 passes; windows of 10 that share 5: 19, of 8 passes of 12 tokens."""
    assert forward_tokens(100, Reading()) == 100 * 102
    assert forward_tokens(100, Reading(passes=16)) == 16 * 102
    assert forward_tokens(100, Reading(window=10)) == 100 * 12
    assert forward_tokens(100, Reading(window=10, passes=8)) == 19 * 8 * 12
    assert forward_tokens(12, Reading(passes=16)) == forward_tokens(12, Reading()) == 12 * 14
    assert row_tokens(100, Reading()) == 102
    assert row_tokens(100, Reading(passes=16)) == 17  # 16.32
    assert forward_tokens(0, Reading(passes=16)) == 0


def test_a_map_longer_than_the_model_reads(absolute) -> None:
    """72 residues, 36 at once, 18 shared: windows from 0, 18 and 36; seams at 27 and 45."""
    codes_L = encode(SEQUENCE)
    parts = [probability_map(absolute, codes_L[first : first + 36]) for first in (0, 18, 36)]
    expected_LA = np.concatenate([parts[0][:27], parts[1][9:27], parts[2][9:]])
    np.testing.assert_allclose(map_rows(absolute, codes_L), expected_LA, atol=1e-6)
    hidden = [hidden_rows(absolute, codes_L[first : first + 36]) for first in (0, 18, 36)]
    expected_LC = np.concatenate([hidden[0][:27], hidden[1][9:27], hidden[2][9:]])
    np.testing.assert_allclose(hidden_rows(absolute, codes_L), expected_LC, atol=1e-5)


@pytest.mark.parametrize("passes", ["exact", 7, 50])
@pytest.mark.parametrize("window", [None, 20])
def test_rows_of_pieces_are_those_of_the_whole(rotary, window, passes) -> None:
    codes_L, reading = encode(SEQUENCE), Reading(passes=passes, window=window, overlap=8)
    whole_LA = probability_map(rotary, codes_L, reading)
    pieces = [map_rows(rotary, codes_L, *span, reading=reading) for span in [(0, 1), (1, 15), (15, 40), (40, 72)]]
    np.testing.assert_allclose(np.concatenate(pieces), whole_LA, atol=1e-6)
    if window is not None:  # it does not see it all
        assert np.abs(whole_LA - probability_map(rotary, codes_L, Reading(passes=passes))).max() > 1e-3


def rationed(monkeypatch, most: int, error: BaseException) -> list[int]:
    """Let memory run out for more than `most` masked copies at once; returns a record of how many were asked."""
    asked, reader = [], esm.reader

    def small(*arguments):  # noqa: ANN002, ANN202
        read = reader(*arguments)

        def read_small(positions_MR: torch.Tensor) -> torch.Tensor:
            asked.append(len(positions_MR))
            if len(positions_MR) > most:
                raise error
            return read(positions_MR)

        return read_small

    monkeypatch.setattr(esm, "reader", small)
    return asked


@pytest.mark.parametrize(
    "error", [MemoryError("no"), torch.OutOfMemoryError("no"), RuntimeError("DefaultCPUAllocator: no")]
)
def test_half_as_many_copies_where_memory_runs_out(rotary, monkeypatch, error) -> None:
    expected_LA = probability_map(rotary, encode(SEQUENCE))
    asked = rationed(monkeypatch, 10, error)
    monkeypatch.setattr(masked, "TOKENS_AT_ONCE", 30 * 74)
    np.testing.assert_allclose(probability_map(rotary, encode(SEQUENCE)), expected_LA, atol=1e-6)
    assert asked == [30, 15, 8, 7, 8, 7, 8, 7, 8, 7, 3, 3, 3, 3]  # 72 = 30 + 30 + 12; all are halved, twice


def test_not_even_one_copy_fits(rotary, monkeypatch) -> None:
    rationed(monkeypatch, 0, MemoryError())
    with pytest.raises(MemoryError, match="one masked copy of 72 residues does not fit into the memory; use shorter"):
        probability_map(rotary, encode(SEQUENCE))


def test_other_errors_are_not_taken_for_lack_of_memory(rotary, monkeypatch) -> None:
    rationed(monkeypatch, 0, RuntimeError("device-side assert"))
    with pytest.raises(RuntimeError, match="device-side assert"):
        probability_map(rotary, encode(SEQUENCE))
