"""Labels with their ancestors, which of them are learnt, and the chains in the package."""

import logging
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from protray.data.location import Location
from protray.data.sample import ENZYMES, LABELS, SAMPLE
from protray.data.tasks.examples import read_rows
from protray.data.tasks.function import bundled_proteins, read_proteins, select
from protray.data.tasks.labels import cath_at, ec_with_prefixes, label_matrix
from protray.data.tasks.observed import side_chains_used
from protray.data.tasks.tables import TaskRow


def rows(labels: str) -> list[TaskRow]:
    """Protein n has the nth word; the first letters say train, validation or test."""
    splits = {"r": "train", "v": "validation", "t": "test"}
    return [
        TaskRow(str(n), "MKV", "t.csv", n, None, {"labels": word[1:], "split": splits[word[0]], "cluster": str(n)})
        for n, word in enumerate(labels.split("/"))
    ]


def test_ec_numbers_by_hand() -> None:
    assert ec_with_prefixes("EC 1.14.14.-") == ["1", "1.14", "1.14.14"]
    assert ec_with_prefixes("3.4.21.n1")[-1] == "3.4.21.n1"
    for wrong in ("9.1.1.1", "GO:0005524", "", "0.1"):
        with pytest.raises(ValueError, match="is no EC number"):
            ec_with_prefixes(wrong)


def test_labels_that_enough_training_proteins_have_are_learnt() -> None:
    """3.1 has two, 3.2 one; the protein without labels and the one of class 2 alone are left out."""
    some = rows("r3.1.1.1/r3.1.2.2; 3.2/v3.1/t3.2.-.-/t2.1/t")
    found, errors = select(some, [], "ec", None, 2, True, 0)
    assert found.labels == ["3", "3.1"] and not errors and found.sizes() == [2, 1, 1]
    assert found.target_NT.astype(int).tolist() == [[1, 1], [1, 1], [1, 1], [1, 0]]
    some = rows("r3.1.1.1;3.1.-.-/v3.1.1.1/t3.1.-.-")
    assert select(some, [], "ec", None, 1, False, 0)[0].labels == ["3.1", "3.1.1.1"]


def test_what_is_left_out_is_told_and_one_number_is_one_label(caplog) -> None:
    """Of seven proteins one has no label, and one a label that nobody shares."""
    some = rows("rEC:1.1/r1.1/v1.1.-.-/t1.1/r/r2.1/t1.1")
    some[3].more["labels"] = ["1.1", None]  # type: ignore[index]  # of a Parquet table
    with caplog.at_level(logging.WARNING):
        found, errors = select(some, [], "ec", None, 2, False, 0)
    assert found.labels == ["1.1"] and len(found.rows) == 5 and not errors
    assert "1 proteins have no label of the task and are left out: 4" in caplog.text
    assert "1 proteins have only labels of fewer than 2 training proteins, and are left out: 5" in caplog.text


def test_what_cannot_be_learnt_is_told(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"none of 1 proteins has a label of the task ec"):
        select(rows("r"), [], "ec", None, 1, True, 0)
    with pytest.raises(ValueError, match=r"0 labels have at least 5 of 1 training proteins.*learn.least"):
        select(rows("r1.1/v1.1/t1.1"), [], "ec", None, 5, True, 0)
    with pytest.raises(ValueError, match=r"0 labels .* rows that cannot be used: 1, the first: t.csv:3: 'potato'"):
        select(rows("r1.1/v1.1/t1.1/tpotato"), [], "ec", None, 5, True, 0)
    with pytest.raises(ValueError, match=r"none of 1 proteins .* cannot be used: 1, the first: t.csv:0: '8.1' is no"):
        select(rows("r8.1"), [], "ec", None, 1, True, 0)
    (tmp_path / "t.csv").write_text("id,sequence,label\na,MKV,1.1\n")
    with pytest.raises(ValueError, match="has no column 'labels'; it has id, sequence, label"):
        read_proteins(Location(tmp_path / "t.csv"), None, "ec")
    _, errors = select(rows("r1.1/v1.1/t1.1/tpotato"), [], "ec", None, 1, True, 0)
    assert [str(error) for error in errors] == [
        "t.csv:3: 'potato' is no EC number, such as 3.4.21.4 or 3.4.-.-; classes are 1 to 7"
    ]


def test_cath_codes_by_hand() -> None:
    found = [cath_at("3.40.50.300", level) for level in ("class", "architecture", "topology")]
    assert found == ["3", "3.40", "3.40.50"] and cath_at("2.60", "architecture") == "2.60"
    for wrong in ("3.40", "3.40.50.300.1", "0.1.1", "a.b.c", "", "3..4"):
        with pytest.raises(ValueError, match="is no CATH code with its topology, such as 3.40.50.300"):
            cath_at(wrong, "topology")


def test_folds_that_enough_training_clusters_have_are_learnt(caplog) -> None:
    """Topology 1.10.8 has three training chains in two clusters, 3.40.50 two in one; a chain of both is left out."""
    some = rows("r1.10.8.10/r1.10.8.20/r1.10.8.10/r3.40.50.1/r3.40.50.2/r1.10.8.1;3.40.50.1/v1.10.8/t1.10.8/t3.40.50")
    for row, cluster in zip(some, "aabccdefg", strict=True):
        row.more["cluster"], row.more["cath"] = cluster, row.more.pop("labels")  # type: ignore[attr-defined,index]
    with caplog.at_level(logging.WARNING):
        found, errors = select(some, [], "cath", None, 2, True, 0, "topology")
    assert found.labels == ["1.10.8"] and [row.id for row in found.rows] == ["0", "1", "2", "6", "7"] and not errors
    assert "1 chains have domains that differ in their topology and are left out: 5" in caplog.text
    assert (
        "3 proteins have only labels of fewer than 2 training clusters, and are left out: 3, 4 and 1 more"
        in caplog.text
    )
    found, _ = select(some, [], "cath", None, 1, True, 0, "class")
    assert found.labels == ["1", "3"] and len(found.rows) == 8 and (found.target_NT.sum(axis=1) == 1).all()
    with pytest.raises(ValueError, match=r"0 labels have at least 3 of 3 training clusters.*set --cath.least lower"):
        select(some, [], "cath", None, 3, True, 0, "topology")


def test_examples_are_read_as_they_were_written(tmp_path) -> None:
    some = rows("r1.1/r1.2/v1.1/t1.1")
    some[3].more["below_30"] = "1"  # type: ignore[index]
    found, _ = select(some, [], "ec", None, 1, True, 0)
    found.write(Location(tmp_path / "e.parquet"))
    test = read_rows(Location(tmp_path / "e.parquet"), "test")
    assert (test.ids, test.clusters, test.sets) == (["3"], ["3"], [["identity < 30 %"]])
    assert test.target_NT.tolist() == [[1.0, 1.0, 0.0]]
    assert len(read_rows(Location(tmp_path / "e.parquet"), "train")) == 2
    some[3].more["below_30"] = "maybe"  # type: ignore[index]
    with pytest.raises(ValueError, match="column 'below_30' has 'maybe'; give 1 or 0"):
        found.write(Location(tmp_path / "e.parquet"))


def test_the_chains_of_the_package() -> None:
    """Enzymes are in clusters of their own, so that no split shares one."""
    sample, more = (pq.read_table(file, columns=["id", "cluster", "split"]).to_pylist() for file in (SAMPLE, ENZYMES))
    assert len(more) == 963 and not {row["cluster"] for row in sample} & {row["cluster"] for row in more}
    assert max(Counter(row["cluster"] for row in more).values()) == 1
    assert pq.read_table(LABELS)["id"].to_pylist() == sorted(row["id"] for row in sample)
    found, errors = select(bundled_proteins("ec"), [], "ec", None, 10, True, 0)
    assert found.sizes() == [1003, 127, 271] and len(found.labels) == 71 and not errors
    observed = found.rows[0].observed
    assert observed is not None and len(observed.backbone_cA) == 12 * len(found.rows[0].sequence)
    assert not side_chains_used(row.observed for row in found.rows)
    with_side_chains = [row for row in found.rows if row.observed and row.observed.sidechains_cA is not None]
    assert len(with_side_chains) == 159


def test_the_folds_of_the_package() -> None:
    found, errors = select(bundled_proteins("cath"), [], "cath", None, 8, True, 0)
    assert found.sizes() == [725, 119, 205] and len(found.labels) == 31 and not errors
    assert found.labels[0] == "1.10.10" and (found.target_NT.sum(axis=1) == 1).all()


def test_a_dataset_of_structures_needs_labels(tmp_path) -> None:
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(ValueError, match="give --labels, a table of id and labels"):
        read_proteins(Location(tmp_path), None, "ec")


def test_label_matrix() -> None:
    assert label_matrix([{"b"}, set()], ["a", "b"]).dtype == np.bool_
