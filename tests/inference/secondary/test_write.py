"""The four formats letter by letter, and names that stay inside their folder."""

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from protray import __version__
from protray.data.location import Location
from protray.inference.secondary import write as module
from protray.inference.secondary.predict import Prediction
from protray.inference.secondary.write import PREDICTED, check_format, file_name, horiz, ss2, to_table, write
from protray.seq.msa import protein_id

# columns H, E, C
ONE = Prediction("1abc_A", 7, np.array([[0.7, 0.2, 0.1], [0.0004, 0.9991, 0.0005]]), np.zeros((2, 20)))
TWO = Prediction("2xyz_B", 0, np.array([[0.25, 0.25, 0.5]]), np.zeros((1, 20)))
TABLES = [to_table(["MX"], [ONE]), to_table(["W"], [TWO])]
ONE_SS2 = f"""# PSIPRED VFORMAT (protray {__version__}) 1abc_A

   1 M H   0.100  0.700  0.200
   2 X E   0.001  0.000  0.999
"""


def test_parquet(tmp_path) -> None:
    write(TABLES, Location(tmp_path / "p.parquet"), many=True)
    found = pq.read_table(tmp_path / "p.parquet")
    assert found.schema.equals(PREDICTED)
    assert found.schema.metadata[b"state_order"] == b"HEC"
    assert found.column_names == ["id", "sequence", "ss3", "prob", "msa_count"]
    assert found.drop(["prob"]).to_pylist() == [
        {"id": "1abc_A", "sequence": "MX", "ss3": "HE", "msa_count": 7},
        {"id": "2xyz_B", "sequence": "W", "ss3": "C", "msa_count": 0},
    ]
    np.testing.assert_allclose(found["prob"][0].as_py(), [0.7, 0.2, 0.1, 0.0004, 0.9991, 0.0005], atol=1e-7)


def test_parquet_is_written_in_groups(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_GROUP", 2)
    write([TABLES[0]] * 5, Location(tmp_path / "p.parquet"), many=True)
    file = pq.ParquetFile(tmp_path / "p.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [2, 2, 1]


def test_three_line(tmp_path) -> None:
    write(TABLES, Location(tmp_path / "p.3line"), many=True)
    assert (tmp_path / "p.3line").read_text() == ">1abc_A\nMX\nHE\n>2xyz_B\nW\nC\n"


def test_ss2_of_one_protein_is_a_file(tmp_path) -> None:
    """Columns are P(coil), P(helix), P(strand), three digits each."""
    write(TABLES[:1], Location(tmp_path / "p.ss2"), many=False)
    assert (tmp_path / "p.ss2").read_text() == ONE_SS2


def test_ss2_of_several_is_a_folder(tmp_path) -> None:
    write(TABLES, Location(tmp_path / "p.ss2"), many=True)
    assert sorted(path.name for path in (tmp_path / "p.ss2").iterdir()) == ["1abc_A.ss2", "2xyz_B.ss2"]
    assert (tmp_path / "p.ss2" / "1abc_A.ss2").read_text() == ONE_SS2


def test_ss2_reads_as_its_users_read_it() -> None:
    """Two lines skipped, six fields a line, the residue number first, probabilities that sum to 1."""
    row = {"id": "x", "sequence": "A" * 10_000, "ss3": "C" * 10_000, "prob": [0.3, 0.3, 0.4] * 10_000}
    lines = ss2(row).splitlines()
    assert lines[0].startswith("# PSIPRED VFORMAT")
    assert lines[1] == ""
    fields = [line.split() for line in lines[2:]]
    assert [int(number) for number, *_ in fields] == list(range(1, 10_001))
    assert {len(line) for line in fields} == {6}
    assert all(sum(map(float, line[3:])) == pytest.approx(1) for line in fields)


def test_horiz(tmp_path) -> None:
    """Confidence by hand: 10 (0.7 - 0.2) = 5, and 10 (0.9991 - 0.0005) is above 9; tens end below their residue."""
    write(TABLES[:1], Location(tmp_path / "p.horiz"), many=False)
    assert (tmp_path / "p.horiz").read_text() == (
        f"# PSIPRED HFORMAT (protray {__version__}) 1abc_A\n\nConf: 59\nPred: HE\n  AA: MX\n      \n\n"
    )
    row = {"id": "x", "sequence": "A" * 75, "ss3": "C" * 75, "prob": [0.0, 0.25, 0.75] * 75}
    lines = horiz(row).splitlines()
    assert [len(line) for line in lines if line.startswith(("Conf", "Pred", "  AA"))] == [66] * 3 + [21] * 3
    assert lines[2] == "Conf: " + "5" * 60
    assert lines[5] == "              10        20        30        40        50        60"
    assert lines[11].split() == ["70"]
    write(TABLES, Location(tmp_path / "all.horiz"), many=True)
    assert sorted(path.name for path in (tmp_path / "all.horiz").iterdir()) == ["1abc_A.horiz", "2xyz_B.horiz"]


def test_an_id_stays_on_one_line() -> None:
    row = {"id": "a\nb\rc", "sequence": "A", "ss3": "C", "prob": [0, 0, 1]}
    assert module.three_line(row).splitlines() == [">a b c", "A", "C"]
    assert len(ss2(row).splitlines()) == 3


@pytest.mark.parametrize("name", ["p.csv", "p", "p.ss2.gz", "p.PARQUET"])
def test_unknown_formats_name_the_known_ones(tmp_path, name) -> None:
    with pytest.raises(ValueError, match=r"names no format; known are \.parquet, \.3line, \.ss2, \.horiz"):
        check_format(Location(tmp_path / name))


HOSTILE = [
    "../../x",
    "/etc/passwd",
    "..",
    ".",
    "",
    ".bashrc",
    "-rf",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    "x" * 300,
    "é",
    "con:1",
]


def test_unsafe_ids_stay_in_the_folder_and_apart(tmp_path) -> None:
    ids = [*HOSTILE, "a_b", "1abc_A", "1abc_a", "sp|P12345|X_HUMAN"]
    taken: set[str] = set()
    names = [file_name(id, taken) for id in ids]
    for name in names:
        assert (tmp_path / f"{name}.ss2").resolve().parent == tmp_path.resolve()
        assert not name.startswith((".", "-"))
        assert len(name) < 220
    assert len({name.casefold() for name in names}) == len(ids)
    assert names[ids.index("1abc_A")] == "1abc_A"
    back = {protein_id(f"{name}.a3m.gz") for name in names}
    # too long, taken on a system that ignores case, or not printable
    assert set(ids) - back == {"", "x" * 300, "1abc_a", "a\0b", "a\nb"}
    assert names[ids.index("sp|P12345|X_HUMAN")] == "sp%7CP12345%7CX_HUMAN"


def test_long_names_are_cut_between_letters() -> None:
    name = file_name("é" * 40, set())
    assert re.fullmatch(r"(%C3%A9)*(%C3)?-[0-9a-f]{8}", name)


def test_hostile_ids_are_written_inside_the_folder(tmp_path) -> None:
    out = tmp_path / "deep" / "p.ss2"
    write(
        [to_table(["W"], [Prediction(id, 0, TWO.prob_L3, TWO.pssm_enhanced_LA)]) for id in HOSTILE],
        Location(out),
        many=True,
    )
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == len(HOSTILE)
    assert {path.parent for path in files} == {out}


def failing() -> Iterator[pa.Table]:
    yield TABLES[0]
    raise RuntimeError("stopped")


@pytest.mark.parametrize(("name", "many"), [("p.parquet", True), ("p.3line", True), ("p.ss2", False)])
def test_a_file_that_is_not_whole_does_not_replace_one(tmp_path, name, many) -> None:
    out = tmp_path / name
    out.write_text("earlier")
    with pytest.raises(RuntimeError, match="stopped"):
        write(failing(), Location(out), many)
    assert out.read_text() == "earlier"
    write(TABLES[:1], Location(out), many)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_is_not_whole_does_not_appear(tmp_path) -> None:
    out = tmp_path / "p.ss2"
    with pytest.raises(RuntimeError, match="stopped"):
        write(failing(), Location(out), many=True)
    assert not out.exists()
    write(TABLES[1:], Location(out), many=True)  # and leaves nothing behind that the next one would take over
    assert [path.name for path in out.iterdir()] == ["2xyz_B.ss2"]
    assert [path.name for path in tmp_path.iterdir()] == ["p.ss2"]
