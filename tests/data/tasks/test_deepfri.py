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
from protray.seq.errors import InputError

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


def write(folder: Path, files: dict[str, str]) -> Location:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Location(folder)


@pytest.fixture
def lists(tmp_path) -> Location:
    """As in DeepFRI's repository."""
    splits = {"train": "1ABC-A\n", "valid": "2ABC-B\n", "test": "3ABC-C\n"}
    files = {f"nrPDB-EC_2020.04_{split}.txt": chains for split, chains in splits.items()}
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
    files = {"nrPDB-GO_annot.tsv": GO, "nrPDB-GO_train.txt": "1ABC-A\n2ABC-B\n"}
    folder = write(tmp_path / "go", files)
    found = {task: {name: row["labels"] for name, row in read_deepfri(folder, task).items()}
             for task in ("go-mf", "go-bp", "go-cc")}  # fmt: skip
    assert found == {
        "go-mf": {"1ABC-A": ["GO:0000001"]},
        "go-bp": {"1ABC-A": ["GO:0000002", "GO:0000003"], "2ABC-B": ["GO:0000002"]},
        "go-cc": {"2ABC-B": ["GO:0000004"]},
    }
    with pytest.raises(InputError, match=r"names a column of EC-number; it names GO-terms \(molecular_function\)"):
        read_deepfri(folder, "ec")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a_annot.tsv": EC}, "does not say which chains are in which split"),
        ({"a_annot.tsv": "1ABC-A\t1.1.1.1\n", "a_train.txt": "1ABC-A\n"}, "no line begins with '### PDB-chain'"),
        ({"a_annot.tsv": EC + "5ABC-A\t1.1.1.1\tmore\n", "a_train.txt": "1ABC-A\n"}, "3 columns, the header has 2"),
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
    chains = [("1ABC-A_7_A", "train/1ABC-A_7.pdb"), ("2abc_B", "pdb/2abc.cif.gz"), ("9xyz_A", "pdb/9xyz.cif.gz")]
    data = dataset(tmp_path / "data", chains)
    with caplog.at_level(logging.WARNING):
        rows, errors = read_proteins(data, lists, "ec")
    assert [(row.id, row.more["split"], row.more["labels"]) for row in rows] == [
        ("1ABC-A_7_A", "train", ["1.1.1.1", "1.1.1.-"]), ("2abc_B", "validation", ["1.1.1.-"]),
    ]  # fmt: skip
    assert not errors and rows[0].more["cluster"] == "1ABC-A_7_A"
    assert "2 of the 3 chains of" in caplog.text
    with pytest.raises(ValueError, match="has EC numbers or GO terms, and no CATH codes"):
        read_proteins(data, lists, "cath")


def test_the_official_labels_need_no_ontology(tmp_path) -> None:
    lists = {
        f"nrPDB-GO_{word}.txt": name for word, name in (("train", "1ABC-A"), ("valid", "2ABC-B"), ("test", "3ABC-C"))
    }
    folder = write(tmp_path / "go", lists | {"nrPDB-GO_annot.tsv": GO + "3ABC-C\t\tGO:0000003\n"})
    data = dataset(tmp_path / "data", [(f"{n}ABC_{chain}", "x.cif") for n, chain in zip("123", "ABC", strict=True)])
    found, errors = select(*read_proteins(data, folder, "go-bp"), "go-bp", None, 1, True, 0)
    assert (found.labels, found.splits, errors) == (["GO:0000002", "GO:0000003"], ["train", "validation", "test"], [])
    assert found.target_NT.tolist() == [[True, True], [True, False], [False, True]]


def test_a_table_of_labels_may_bring_splits(tmp_path) -> None:
    (tmp_path / "labels.csv").write_text("id,labels,split,below_30\na_A,1.1.1.1,validation,\nb_A,1.1.1.1,,1\n")
    rows, _ = read_proteins(
        dataset(tmp_path / "data", [("a_A", ""), ("b_A", "")]), Location(tmp_path / "labels.csv"), "ec"
    )
    assert [row.more for row in rows] == [
        {"split": "validation", "cluster": "a_A", "labels": "1.1.1.1"},
        {"split": "train", "cluster": "b_A", "labels": "1.1.1.1", "below_30": "1"},
    ]
