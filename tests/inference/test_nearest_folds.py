"""CATH topologies of chains from the package and from tables, and which chains have a partner of the same."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ssdm_here import sample_chains

from protray.data.location import Location
from protray.inference.nearest_folds import folds, with_partner


def test_folds_of_the_sample_are_of_its_chains() -> None:
    """With a backbone, and with side chains."""
    found = folds(None, None)
    for split in ("train", "validation", "test"):
        chains = sample_chains(split, 10_000)
        sides = (chains.sidechains_R103[:, :, 0] != -32768).any(axis=1)  # type: ignore[index]
        whole = [bool(sides[a:b].any()) for a, b in zip(chains.starts, chains.starts[1:], strict=False)]
        for kind in (True, False):
            ids = [id for id, has in zip(chains.ids, whole, strict=True) if has == kind]
            assert len(found.keys() & set(ids)) > 0.4 * len(ids)
    assert all(fold.count(".") == 2 for fold in found.values())


def test_folds_of_a_table(tmp_path) -> None:
    """One domain each; two, or none, are no fold.  A list of codes, or a cell of them."""
    (tmp_path / "a.csv").write_text("id,cath\na,3.40.50.300\nb,1.10.8.10; 3.40.50.300\nc,\nd,1.10.8\n")
    assert folds(Location("x"), Location(tmp_path / "a.csv")) == {"a": "3.40.50", "d": "1.10.8"}
    table = pa.table({"id": ["a", "b", "c"], "cath": [["3.40.50.300"], ["1.10.8.10", "1.10.8.11"], None]})
    pq.write_table(table, tmp_path / "b.parquet")
    assert folds(Location("x"), Location(tmp_path / "b.parquet")) == {"a": "3.40.50"}
    assert folds(Location("x"), None) == {}
    (tmp_path / "c.csv").write_text("id,fold\na,3.40.50\n")
    with pytest.raises(ValueError, match=r"c\.csv has no column 'cath'; it has id, fold"):
        folds(None, Location(tmp_path / "c.csv"))
    (tmp_path / "d.csv").write_text("id,cath\na,Rossmann\n")
    with pytest.raises(ValueError, match="'Rossmann' is no CATH code"):
        folds(None, Location(tmp_path / "d.csv"))


def test_a_partner_is_of_another_cluster() -> None:
    """Chains 0 and 1 share a cluster and a fold, 2 and 3 a fold alone; 4 and 5 have no cluster: each is its own."""
    chains = replace(sample_chains("test", 10), clusters=["c", "c", "d", "e", "", "", "f", "g", "h", "i"])
    fold_of = dict(zip(chains.ids, ["1.1.1", "1.1.1", "2.2.2", "2.2.2", "3.3.3", "3.3.3", "4.4.4"], strict=False))
    rows, label_N, clusters = with_partner(chains, fold_of)
    assert rows == [2, 3, 4, 5]
    assert label_N.tolist() == [0, 0, 1, 1]
    assert clusters == ["d", "e", chains.ids[4], chains.ids[5]]
    assert with_partner(chains, {})[0] == []
