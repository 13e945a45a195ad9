import pytest

from protray.data.cluster_files import read_clusters, read_splits
from protray.data.splits import assign_splits
from protray.seq.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id\tcluster\na\tx\nb\tx\n", {"a": "x", "b": "x"}),
        ("cluster\tid\nx\ta\nx\tb\n", {"a": "x", "b": "x"}),
        ("a\tx\nb\tx\nc\ty\n", {"a": "x", "b": "x", "c": "y"}),
        ("a\ta\na\tb\nc\tc\n", {"a": "a", "b": "a", "c": "c"}),  # mmseqs: representative, member
        ("a\ta\r\n\r\nb\tb\r\n", {"a": "a", "b": "b"}),
        ("4HHB_1 2DN1_1\n\n1ABC_2\n", {"4HHB_1": "4HHB_1", "2DN1_1": "4HHB_1", "1ABC_2": "1ABC_2"}),  # RCSB
        ("4HHB_A 4HHB_C \r\n", {"4HHB_A": "4HHB_A", "4HHB_C": "4HHB_A"}),
        ("id\tcluster\tsplit\na\tx\ttrain\nb\tx\ttrain\n", {"a": "x", "b": "x"}),
    ],
)
def test_cluster_tables(tmp_path, text, expected) -> None:
    path = tmp_path / "cluster.tsv"
    path.write_bytes(text.encode())
    assert read_clusters(path) == expected


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", None, "empty"),
        ("id\tcluster\n", None, "empty"),
        ("a x\n", 1, "two tab-separated columns"),
        (" \n\n", None, "empty"),
        ("4HHB_1 2DN1_1\n1ABC_2 2DN1_1\n", 2, "'2DN1_1' is on two lines"),
        ("4HHB_1 2DN1_1\nx\n", 1, "two tab-separated columns"),
        ("a\tx\nb\t\n", 2, "two tab-separated columns"),
        ("id\tcluster\na\tx\na\ty\n", 3, "'a' is on two lines"),
        ("a\tx\na\ty\nb\tx\n", 2, "'a' is on two lines"),
        ("id\tcluster\tsplit\na\tx\n", 2, "three tab-separated columns"),
        ("a\tx\ttrain\n", 1, "two tab-separated columns"),
    ],
)
def test_bad_cluster_tables(tmp_path, text, line, reason) -> None:
    path = tmp_path / "cluster.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=reason) as caught:
        read_clusters(path)
    assert caught.value.line == line


def test_a_cluster_table_may_settle_splits(tmp_path) -> None:
    path = tmp_path / "cluster.tsv"
    path.write_text("split\tid\tcluster\ntest\ta\tx\ntest\tb\tx\nvalidation\tc\ty\n")
    assert read_clusters(path) == {"a": "x", "b": "x", "c": "y"}
    assert read_splits(path) == {"x": "test", "y": "validation"}
    drawn = assign_splits({"a": "x", "d": "z"})
    assert assign_splits({"a": "x", "c": "y", "d": "z"}, given=read_splits(path)) == {
        "a": "test", "c": "validation", "d": drawn["d"],
    }  # fmt: skip
    path.write_text("a\tx\nb\tx\n")
    assert read_splits(path) == {}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [("b\tx\tTest\n", "the split is 'Test'"), ("b\tx\ttest\nc\tx\ttrain\n", "'x' is in train here and in test")],
)
def test_splits_that_cannot_be(tmp_path, lines, reason) -> None:
    path = tmp_path / "cluster.tsv"
    path.write_text(f"id\tcluster\tsplit\na\ty\ttrain\n{lines}")
    with pytest.raises(InputError, match=reason):
        read_splits(path)
