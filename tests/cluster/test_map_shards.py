"""Probability maps by hand, without Ray: units, parts and the table of a shard, shards and what is unusable."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from protray.pipelines.language_model.map_parts import Rows, Span, merge_parts, missing_spans, spans_in, write_part
from protray.pipelines.language_model.map_units import MapConfig, Unit, cut

from protray.cluster.batch.shards import Manifest, read_sources
from protray.data import schemas
from protray.inference.many import Source
from protray.pipelines.language_model import map_parts
from protray.plm import masked
from protray.plm.reading import Reading
from protray.seq.msa import InputError

# ---- what is given to an actor


def test_units_by_hand(monkeypatch) -> None:
    """4 residues cost 4 x 6 = 24 tokens, 8 cost 8 x 10 = 80; a pass of 20 tokens takes 2 positions of the longer."""
    monkeypatch.setattr(masked, "TOKENS_AT_ONCE", 20)
    spans, config = [Span(0, 0, 4), Span(1, 0, 4), Span(2, 0, 8), Span(3, 0, 4)], MapConfig(lm="x")
    units = cut(7, spans, [4, 4, 8, 4], 50, config)
    assert [(unit.spans, unit.tokens) for unit in units] == [
        ((Span(0, 0, 4), Span(1, 0, 4)), 48),
        ((Span(2, 0, 4),), 40),  # 50 // 10 = 5 positions, of which 4 fill two passes
        ((Span(2, 4, 8),), 40),
        ((Span(3, 0, 4),), 24),
    ]
    assert {unit.shard for unit in units} == {7}
    assert cut(0, spans, [4, 4, 8, 4], 1000, config) == [Unit(0, tuple(spans), 152)]
    assert cut(0, [], [], 1000, config) == []


def test_cost_with_windows() -> None:
    """100 residues: 100 x 102 tokens, or with windows of 10 100 x 12."""
    assert MapConfig(lm="x").tokens(100) == 10_200
    assert MapConfig(lm="x", reading=Reading(window=10)).tokens(100) == 1_200
    assert MapConfig(lm="x", reading=Reading(window=10)).tokens(5) == 35


# ---- parts and the table of a shard


def rows(row: int, start: int, stop: int, value: float, hidden: bool = False) -> Rows:
    prob_LA = np.full((stop - start, 20), value, dtype=np.float32)
    return Rows(Span(row, start, stop), prob_LA, np.full((5, 3), value, dtype=np.float32) if hidden else None)


def test_missing_spans_by_hand() -> None:
    covered = [Span(0, 0, 4), Span(1, 2, 3), Span(1, 4, 5), Span(1, 2, 4)]
    assert list(missing_spans([4, 6, 3], covered)) == [Span(1, 0, 2), Span(1, 5, 6), Span(2, 0, 3)]


@pytest.mark.parametrize("schema", [schemas.MAPS, schemas.MAPS_FLOAT16])
def test_a_table_is_put_together_from_pieces(tmp_path, schema) -> None:
    """a: whole; b: three pieces, two of which hold position 3; c: a hole; d: nothing."""
    table = pa.table({"id": list("abcd"), "sequence": ["AA", "CCCCC", "DDD", "E"]})
    pq.write_table(table, tmp_path / "staged.parquet")
    (tmp_path / "parts").mkdir()
    parts = [
        [rows(1, 3, 5, 0.5), rows(0, 0, 2, 0.25)],
        [rows(1, 0, 2, 1, True)],
        [rows(1, 2, 4, 0.75), rows(2, 0, 2, 0)],
    ]
    for number, part in enumerate(parts):
        write_part(part, tmp_path / "parts" / f"{number}.arrow", schema)
    assert merge_parts(tmp_path / "staged.parquet", tmp_path / "parts", tmp_path / "t.parquet", schema) == 2
    found = pq.read_table(tmp_path / "t.parquet")
    assert found.schema.equals(schema, check_metadata=False)
    assert found.schema.metadata[b"residue_order"] == b"ARNDCQEGHILKMFPSTWYV"
    assert found["id"].to_pylist() == ["a", "b"]
    assert found["sequence"].to_pylist() == ["AA", "CCCCC"]
    maps = [np.reshape(row, (-1, 20))[:, 7].tolist() for row in found["prob_map"].to_pylist()]
    assert maps == [[0.25, 0.25], [1, 1, 0.75, 0.75, 0.5]]
    assert found["lm_hidden"].to_pylist() == [None, [1.0] * 15]
    assert len(spans_in(tmp_path / "parts")) == 5


def test_a_damaged_part_is_as_if_it_were_not_there(tmp_path, monkeypatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(map_parts.log, "warning", lambda text, *facts: said.append(text % facts))
    for number in range(3):
        write_part([rows(number, 0, 2, 0.5)], tmp_path / f"{number}.arrow", schemas.MAPS)
    content = bytearray((tmp_path / "1.arrow").read_bytes())
    content[content.index(np.float32(0.5).tobytes())] ^= 1
    (tmp_path / "1.arrow").write_bytes(content)
    (tmp_path / "2.arrow").write_bytes((tmp_path / "2.arrow").read_bytes()[:-100])
    assert list(spans_in(tmp_path)) == [Span(0, 0, 2)]
    assert [path.name for path in tmp_path.iterdir()] == ["0.arrow"]
    assert len(said) == 2 and "1.arrow is damaged (its checksum is wrong); remove it" in said[0]


# ---- shards


def test_a_late_process_does_not_undo_what_is_finished(tmp_path) -> None:
    """An actor on a node that was cut off writes a part, and with it a work folder, when all is done."""
    manifest = Manifest.open(tmp_path / "out", {})
    manifest.stage([Source("a", "f", 1, "ACD"), InputError("f", 2, "no", "b")], 10, lambda length: length)
    assert manifest.shards
    manifest.shards[0].finished, manifest.shards[0].computed = True, 1
    manifest.save()
    manifest.finish()
    write_part([rows(0, 0, 2, 0.5)], manifest.work / "parts-00000" / "late.arrow", schemas.MAPS)
    again = Manifest.open(tmp_path / "out", {})
    assert not again.complete
    again.finish()
    assert again.complete
    assert pq.read_table(tmp_path / "out" / "rejected.parquet")["id"].to_pylist() == ["b"]


def test_a_manifest_that_was_cut_short_is_named(tmp_path) -> None:
    Manifest.open(tmp_path / "out", {})
    path = tmp_path / "out" / "manifest.json"
    path.write_text(path.read_text()[:-5])
    with pytest.raises(ValueError, match=r"manifest\.json is damaged \(.*\); remove its folder"):
        Manifest.open(tmp_path / "out", {})


FASTA = """text
>a one
acde
FG*
>b
BZUOJAX
>empty
>a
CCC
>num
AC1
>
AA
>gap
A-C
"""


def test_staging_says_what_is_unusable_and_where(tmp_path) -> None:
    path = tmp_path / "p.fasta"
    path.write_text(FASTA)
    manifest = Manifest.open(tmp_path / "out", {"a": 1})
    manifest.stage(read_sources(path), 1, len_squared)
    tables = [pq.read_table(manifest.staged(number)).to_pylist() for number in (0, 1)]
    assert [[(row["id"], row["sequence"], row["line"]) for row in table] for table in tables] == [
        [("a", "ACDEFG", 2)], [("b", "XXXXXAX", 5)],
    ]  # fmt: skip
    assert [(shard.proteins, shard.tokens) for shard in manifest.shards or []] == [(1, 36), (1, 49)]
    rejected = pq.read_table(manifest.work / "rejected.parquet").to_pylist()
    assert [(row["id"], row["line"], row["file"]) for row in rejected] == [
        (None, 1, str(path)), ("empty", 7, str(path)), ("a", 8, str(path)), ("num", 10, str(path)),
        (None, 12, str(path)), ("gap", 14, str(path)),
    ]  # fmt: skip
    assert manifest.summary()["n_rejected"] == 6
    assert Manifest.open(tmp_path / "out", {"a": 1}) == manifest


def len_squared(length: int) -> int:
    return length**2


def test_shards_are_cut_by_residues_too(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("protray.cluster.batch.shards.SHARD_RESIDUES", 10)
    manifest = Manifest.open(tmp_path / "out", {})
    manifest.stage((Source(str(n), "f", None, "A" * n) for n in (4, 6, 1, 30, 2)), 100, len_squared)
    assert [shard.proteins for shard in manifest.shards or []] == [2, 1, 1, 1]


def test_a_folder_belongs_to_one_set_of_settings(tmp_path) -> None:
    Manifest.open(tmp_path / "out", {"lm": "x", "window": None})
    with pytest.raises(ValueError, match="out was made differently: lm was 'x', is 'y'; window was None, is 9. Choose"):
        Manifest.open(tmp_path / "out", {"lm": "y", "window": 9})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="mine exists and has no manifest.json; choose another --out"):
        Manifest.open(tmp_path / "mine", {})


def test_a_run_killed_while_it_read_reads_again(tmp_path) -> None:
    def broken():  # noqa: ANN202
        yield Source("a", "f", None, "A")
        yield InputError("f", 3, "bad")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Manifest.open(tmp_path / "out", {}).stage(broken(), 1, len_squared)
    manifest = Manifest.open(tmp_path / "out", {})
    assert manifest.shards is None
    manifest.stage([Source("b", "f", None, "AC")], 1, len_squared)
    assert pq.read_table(manifest.staged(0))["id"].to_pylist() == ["b"]
    assert manifest.summary()["n_rejected"] == 0
