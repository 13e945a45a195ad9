"""Arrow files that are whole, checked, and Arrow files to everyone else."""

from pathlib import Path

import pyarrow as pa
import pytest

from protray.data.arrow import CHECKSUM, map_arrow, spooled, write_arrow

TABLE = pa.table(
    {
        "id": ["a", "b", "c"],
        "numbers": pa.array([[1.0, 2.0], [], None], pa.large_list(pa.float32())),
    },
    metadata={"order": "ARND"},
)


@pytest.mark.parametrize("table", [TABLE, TABLE.slice(0, 0), pa.concat_tables([TABLE, TABLE])])
def test_what_is_written_is_mapped(table: pa.Table, tmp_path: Path) -> None:
    write_arrow(table, tmp_path / "new" / "t.arrow")
    found = map_arrow(tmp_path / "new" / "t.arrow")
    assert found.equals(table) and found.schema.equals(table.schema, check_metadata=True)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["t.arrow"]
    with pa.memory_map(str(tmp_path / "new" / "t.arrow")) as file:
        assert pa.ipc.open_file(file).read_all().equals(table)  # by any reader


def test_a_change_anywhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    write_arrow(TABLE, path)
    content = path.read_bytes()
    with pa.memory_map(str(path)) as file:
        _, facts = pa.ipc.open_file(file).get_batch_with_custom_metadata(1)
    size = int(facts[CHECKSUM].split()[0])
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert map_arrow(path).equals(TABLE, check_metadata=True)
            assert place >= size  # in how the file ends for other readers
        except ValueError as error:
            assert "t.arrow is damaged (" in str(error) and "remove it and run the same command again" in str(error)
    for length in (0, 7, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="is damaged"):
            map_arrow(path)


def test_a_file_without_a_checksum_is_not_trusted(tmp_path: Path) -> None:
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink, pa.ipc.new_file(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    with pytest.raises(ValueError, match="is damaged"):
        map_arrow(tmp_path / "t.arrow")


def test_a_file_that_is_not_there_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        map_arrow(tmp_path / "t.arrow")


def test_tables_in_a_file_that_goes_with_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    table = spooled(pa.table({"a": pa.array([n], pa.int64())}) for n in range(3))
    assert table.to_pydict() == {"a": [0, 1, 2]} and len(table.to_batches()) == 3
    assert spooled([pa.table({"a": pa.array([], pa.int64())})]).num_rows == 0
    assert list(tmp_path.iterdir()) == []
