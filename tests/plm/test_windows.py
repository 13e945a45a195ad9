"""Windows by hand and by property; windowed maps against windows read one by one; memory that runs out."""

import numpy as np
import pytest
import torch
from tiny_model import save_tiny_lm

from protray.plm import masked
from protray.plm import windows as module
from protray.plm.masked import LanguageModel, hidden_state, load, probability_map
from protray.plm.windows import Window, Windowing, hidden_rows, map_rows, windows
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


def test_windows_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="windows of 10 residues cannot share 10; the overlap must be smaller"):
        Windowing(size=10, overlap=10)
    with pytest.raises(ValueError, match="windows cannot share -1 residues"):
        Windowing(overlap=-1)
    with pytest.raises(ValueError, match="a window of 1 residues is too short"):
        Windowing(size=1)


def test_the_smaller_limit_counts() -> None:
    cases = [(5, 9), (9, 5), (None, 5), (5, None), (None, None)]
    assert [Windowing(size=size).limit(longest) for size, longest in cases] == [5, 5, 5, 5, None]


def test_a_map_longer_than_the_model_reads(absolute) -> None:
    """72 residues, 36 at once, 18 shared: windows from 0, 18 and 36; seams at 27 and 45."""
    codes_L = encode(SEQUENCE)
    parts = [probability_map(absolute, codes_L[first : first + 36]) for first in (0, 18, 36)]
    expected_LA = np.concatenate([parts[0][:27], parts[1][9:27], parts[2][9:]])
    np.testing.assert_allclose(map_rows(absolute, codes_L), expected_LA, atol=1e-6)
    hidden = [hidden_state(absolute, codes_L[first : first + 36]) for first in (0, 18, 36)]
    expected_LC = np.concatenate([hidden[0][:27], hidden[1][9:27], hidden[2][9:]])
    np.testing.assert_allclose(hidden_rows(absolute, codes_L), expected_LC, atol=1e-5)


@pytest.mark.parametrize("windowing", [Windowing(), Windowing(size=20, overlap=8)])
def test_rows_of_pieces_are_those_of_the_whole(rotary, windowing) -> None:
    codes_L = encode(SEQUENCE)
    whole_LA = map_rows(rotary, codes_L, windowing=windowing)
    pieces = [map_rows(rotary, codes_L, *span, windowing=windowing) for span in [(0, 1), (1, 15), (15, 40), (40, 72)]]
    np.testing.assert_allclose(np.concatenate(pieces), whole_LA, atol=1e-6)
    if windowing.size is None:
        np.testing.assert_allclose(whole_LA, probability_map(rotary, codes_L), atol=1e-6)
    else:
        assert np.abs(whole_LA - probability_map(rotary, codes_L)).max() > 1e-3  # a window does not see it all


@pytest.mark.parametrize(
    "error", [MemoryError("no"), torch.OutOfMemoryError("no"), RuntimeError("DefaultCPUAllocator: no")]
)
def test_half_as_many_copies_where_memory_runs_out(rotary, monkeypatch, error) -> None:
    expected_LA = probability_map(rotary, encode(SEQUENCE))
    asked = []

    def small(lm, codes_L, bf16, start, stop):  # noqa: ANN001, ANN202
        asked.append(stop - start)
        if stop - start > 10:
            raise error
        return probability_map(lm, codes_L, bf16, start, stop)

    monkeypatch.setattr(module, "probability_map", small)
    monkeypatch.setattr(masked, "TOKENS_AT_ONCE", 2160)  # 30 copies of 72
    np.testing.assert_allclose(map_rows(rotary, encode(SEQUENCE)), expected_LA, atol=1e-6)
    assert asked == [72, 15, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2]  # 10 x 7 + 2 = 72


def test_not_even_one_copy_fits(rotary, monkeypatch) -> None:
    def none(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "probability_map", none)
    with pytest.raises(MemoryError, match="one masked copy of 72 residues does not fit into the memory; use shorter"):
        map_rows(rotary, encode(SEQUENCE))


def test_other_errors_are_not_taken_for_lack_of_memory(rotary, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("device-side assert")

    monkeypatch.setattr(module, "probability_map", broken)
    with pytest.raises(RuntimeError, match="device-side assert"):
        map_rows(rotary, encode(SEQUENCE))
