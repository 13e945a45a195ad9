"""The layout of DeepFRI: labels, splits of lists or folders, identities, and which chain of a dataset is meant."""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from protray.data.location import Location
from protray.data.schemas import STRUCTURES
from protray.data.tasks.deepfri import is_deepfri, read_deepfri
from protray.data.tasks.function import read_proteins, select

EC = """\
### EC-numbers
1.1.1.1\t1.1.1.-\t2.7.1.1

### PDB-chain\tEC-numbers
1ABC-A\t1.1.1.1,1.1.1.-
2ABC-B\t1.1.1.-
3ABC-C\t2.7.1.1
4ABC-D\t2.7.1.1
"""
GO = """\
### GO-terms (molecular_function)
GO:0000001
### GO-terms (biological_process)
GO:0000002\tGO:0000003
### PDB-chain\tGO-terms (molecular_function)\tGO-terms (biological_process)\tGO-terms (cellular_component)
1ABC-A\tGO:0000001\tGO:0000002,GO:0000003
2ABC-B\t\tGO:0000002\tGO:0000004
"""
IDENTITIES = "PDB-chain,<30%,<95%\n3ABC-C,0,1\n"


EC_CHAINS = ("1ABC-A", "2ABC-B", "3ABC-C")


def lists_of(name: str, train: str, validation: str, test: str) -> dict[str, str]:
    named = {"train": train, "valid": validation, "test": test}
    return {f"{name}_{word}.txt": f"{chain}\n" for word, chain in named.items()}


def write(folder: Path, files: dict[str, str]) -> Location:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Location(folder)


@pytest.fixture
def lists(tmp_path) -> Location:
    """As in DeepFRI's repository."""
    files = lists_of("nrPDB-EC_2020.04", *EC_CHAINS)
    named = {"nrPDB-EC_2020.04_annot.tsv": EC, "nrPDB-EC_2020.04_test.csv": IDENTITIES}
    return write(tmp_path / "lists", files | named)


@pytest.fixture
def folders(tmp_path) -> Location:
    """As torchdrug's archive, unpacked."""
    chains = {f"{split}/{name}_{n}.pdb": "" for n, (split, name) in enumerate(
        [("train", "1ABC-A"), ("valid", "2ABC-B"), ("test", "3ABC-C")])}  # fmt: skip
    return write(tmp_path / "folders", chains | {"nrPDB-EC_annot.tsv": EC, "nrPDB-EC_test.csv": IDENTITIES})


def test_both_layouts_say_the_same(lists, folders) -> None:
    """The fourth chain is in no split."""
    assert is_deepfri(lists) and is_deepfri(folders) and not is_deepfri(None)
    assert not is_deepfri(folders / "train") and not is_deepfri(lists / "none")
    expected = {
        "1ABC-A": {"labels": ["1.1.1.1", "1.1.1.-"], "split": "train"},
        "2ABC-B": {"labels": ["1.1.1.-"], "split": "validation"},
        "3ABC-C": {"labels": ["2.7.1.1"], "split": "test", "below_30": "0", "below_95": "1"},
    }
    assert read_deepfri(lists, "ec") == read_deepfri(folders, "ec") == expected


def test_terms_of_a_branch(tmp_path) -> None:
    folder = write(tmp_path / "go", {"nrPDB-GO_annot.tsv": GO} | lists_of("nrPDB-GO", *EC_CHAINS))
    found = {task: {name: row["labels"] for name, row in read_deepfri(folder, task).items()}
             for task in ("go-mf", "go-bp", "go-cc")}  # fmt: skip
    assert found == {
        "go-mf": {"1ABC-A": ["GO:0000001"]},
        "go-bp": {"1ABC-A": ["GO:0000002", "GO:0000003"], "2ABC-B": ["GO:0000002"]},
        "go-cc": {"2ABC-B": ["GO:0000004"]},
    }
    with pytest.raises(ValueError, match=r"has 0 columns of EC-number .* there must be one, in nrPDB-GO_annot.tsv"):
        read_deepfri(folder, "ec")


def test_a_folder_may_hold_both(tmp_path) -> None:
    """As DeepFRI's repository does: each with its own splits."""
    both = {"a-EC_annot.tsv": EC, "a-GO_annot.tsv": GO}
    folder = write(tmp_path / "both", both | lists_of("a-EC", *EC_CHAINS) | lists_of("a-GO", *EC_CHAINS[::-1]))
    assert read_deepfri(folder, "ec")["1ABC-A"]["split"] == "train"
    assert read_deepfri(folder, "go-bp")["1ABC-A"]["split"] == "test"
    with pytest.raises(ValueError, match="has 2 columns of EC-number"):
        read_deepfri(write(tmp_path / "both", {"b_annot.tsv": EC}), "ec")


def test_what_users_files_may_look_like(tmp_path) -> None:
    """A mark at their beginning, ends of lines as of Windows, blanks; test chains only in the table of identities."""
    files = lists_of("a", "\ufeff1ABC-A\r", "2ABC-B \r", "") | {
        "a_annot.tsv": EC.replace("\n", "\r\n").replace("3ABC-C", "3ABC-C "), "a_test.csv": IDENTITIES,
    }  # fmt: skip
    found = read_deepfri(write(tmp_path / "x", files), "ec")
    assert {name: row["split"] for name, row in found.items()} == {
        "1ABC-A": "train", "2ABC-B": "validation", "3ABC-C": "test",
    }  # fmt: skip
    assert found["3ABC-C"]["below_95"] == "1"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a_annot.tsv": EC}, "no chain of the split train: neither a_train.txt nor the folder train"),
        ({"a_annot.tsv": "1ABC-A\t1.1.1.1\n"}, "has 0 columns of EC-number in lines that begin with 'PDB-chain'"),
        ({"a_annot.tsv": EC, "a_train.txt": "1ABC-A\n", "a_valid.txt": "1ABC-A\n"}, "1ABC-A is in train and in valid"),
    ],
)
def test_what_is_no_such_folder_is_refused(tmp_path, files, told) -> None:
    with pytest.raises(ValueError, match=told):
        read_deepfri(write(tmp_path / "x", files), "ec")


def dataset(folder: Path, chains: list[tuple[str, str]]) -> Location:
    """Chains without coordinates to speak of, all of them for training in clusters of their own."""
    rows = [
        {"id": id, "source": source, "sequence": "MK", "index": [0, 1], "backbone_cA": [0] * 24, "origin": [0.0] * 3,
         "breaks": [], "entry": id, "cluster": id, "split": "train"}
        for id, source in chains
    ]  # fmt: skip
    (folder / "structures").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=STRUCTURES), folder / "structures" / "a.parquet")
    (folder / "dataset.json").write_text("{}")
    return Location(folder)


def test_chains_of_a_dataset_take_labels_and_splits(tmp_path, lists, caplog) -> None:
    """By the name of the file, or by entry and chain; chains that the folder does not name are left out."""
    chains = [("1ABC-A_A", "train/1ABC-A.pdb"), ("2abc_B", "pdb/2abc.cif.gz"), ("9xyz_A", "pdb/9xyz.cif.gz")]
    data = dataset(tmp_path / "data", chains)
    with caplog.at_level(logging.WARNING):
        rows, errors = read_proteins(data, lists, "ec")
    assert [(row.id, row.more["split"], row.more["labels"]) for row in rows] == [
        ("1ABC-A_A", "train", ["1.1.1.1", "1.1.1.-"]), ("2abc_B", "validation", ["1.1.1.-"]),
    ]  # fmt: skip
    assert not errors and rows[0].more["cluster"] == "1ABC-A_A"
    assert "2 of the 3 chains of" in caplog.text
    with pytest.raises(ValueError, match="none of the 3 chains of .* is in the dataset: 1ABC-A, 2ABC-B"):
        read_proteins(dataset(tmp_path / "others", [("9xyz_A", "pdb/9xyz.cif.gz")]), lists, "ec")
    with pytest.raises(ValueError, match=r"is a folder without \*_annot.tsv; unpack the archives in it"):
        read_proteins(data, data, "ec")
    with pytest.raises(ValueError, match="has EC numbers or GO terms, and no CATH codes"):
        read_proteins(data, lists, "cath")


def test_the_official_labels_need_no_ontology(tmp_path) -> None:
    lists = lists_of("nrPDB-GO", *EC_CHAINS)
    folder = write(tmp_path / "go", lists | {"nrPDB-GO_annot.tsv": GO + "3ABC-C\t\tGO:0000003\n"})
    data = dataset(tmp_path / "data", [(f"{n}ABC_{chain}", "x.cif") for n, chain in zip("123", "ABC", strict=True)])
    found, errors = select(*read_proteins(data, folder, "go-bp"), "go-bp", None, 1, True, 0)
    assert (found.labels, found.splits, errors) == (["GO:0000002", "GO:0000003"], ["train", "validation", "test"], [])
    assert found.target_NT.tolist() == [[True, True], [True, False], [False, True]]


def test_a_table_of_labels_may_bring_splits(tmp_path) -> None:
    """For all of its chains or none; a chain without a label has none, whatever else is known of it."""
    data, labels = dataset(tmp_path / "data", [("a_A", ""), ("b_A", "")]), tmp_path / "labels.csv"
    labels.write_text("id,labels,split,below_30\na_A,1.1.1.1,validation,\nb_A,,test,1\n")
    rows, errors = read_proteins(data, Location(labels), "ec")
    assert not errors and [row.more for row in rows] == [
        {"split": "validation", "cluster": "a_A", "labels": "1.1.1.1", "below_30": None},
        {"split": "test", "cluster": "b_A", "labels": None, "below_30": "1"},
    ]
    labels.write_text("id,labels,split\na_A,1.1.1.1,validation\nb_A,1.1.1.1,\n")
    with pytest.raises(ValueError, match="1 of 2 rows have no split, the first is 'b_A'"):
        read_proteins(data, Location(labels), "ec")
