"""Files of ours that are damaged: every changed bit is found, and the file is named."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from protray.data.parquet import WRITING, read_batches, read_parquet, rows_in


@pytest.fixture
def file(tmp_path: Path) -> Path:
    prob = np.random.default_rng(0).random((200, 60), dtype=np.float32)
    table = pa.table({"id": [f"p{n}" for n in range(len(prob))], "prob": list(prob)})
    pq.write_table(table, tmp_path / "part.parquet", **WRITING)
    return tmp_path / "part.parquet"


def test_a_sound_file_is_read_whole_or_by_columns(file: Path) -> None:
    assert read_parquet(file).equals(pq.read_table(file))
    assert read_parquet(file, ["id"]).column_names == ["id"]
    assert rows_in(file) == 200


def test_batches_are_checked_as_well(file: Path) -> None:
    whole = pq.read_table(file)
    batches = list(read_batches(file, whole.column_names, 7))
    assert max(batch.num_rows for batch in batches) <= 7
    assert pa.Table.from_batches(batches).combine_chunks().equals(whole.combine_chunks())
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"part\.parquet is damaged .*; copy it again, or start anew"):
        list(read_batches(file, whole.column_names, 7, remedy="start anew"))


def test_every_changed_bit_is_found(file: Path) -> None:
    content, expected, rng = file.read_bytes(), pq.read_table(file), random.Random(0)
    found = 0
    for _ in range(60):
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(changed)
        try:
            assert read_parquet(file).equals(expected)  # the bit may lie in what nobody reads
        except ValueError as error:
            assert str(file) in str(error)
            found += 1
    assert found > 50


@pytest.mark.parametrize("kept", [0, 3, 500, -1])
def test_a_file_that_was_cut_short_is_named_with_the_remedy(file: Path, kept: int) -> None:
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"part\.parquet is damaged .*; copy it again, or start anew"):
        read_parquet(file, remedy="start anew")


def test_a_file_that_is_not_there_is_another_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_parquet(tmp_path / "none.parquet")
