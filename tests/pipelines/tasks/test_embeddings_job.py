"""Embeddings of a task's proteins: computed once, of each kind and level, and what has none is named."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from score_nets import ca_alone, random_chain, save_random_net

from protray.cluster.batch import driver
from protray.data import schemas
from protray.data.embeddings import level_of, read_embeddings
from protray.data.location import Location
from protray.data.structure.rows import pack_backbone
from protray.data.tasks.examples import read_statistics, read_vectors
from protray.inference.embeddings.residues import mean_of, statistics_of
from protray.pipelines.tasks.embedding import Embedding
from protray.pipelines.tasks.embeddings import embed_proteins
from protray.plm.shipped import SHIPPED
from protray.seq.alphabet import decode

CHAINS = [random_chain(length, seed, f"p{seed}") for seed, length in enumerate((9, 14, 11))]


def table(*without: str) -> pa.Table:
    """Three chains of which C-alpha atoms are known, and those of `without` without a structure."""
    rows = []
    for chain in CHAINS:
        backbone_L43 = np.full((len(chain.codes_L), 4, 3), np.nan)
        backbone_L43[:, 1] = chain.ca_L3
        known = chain.id not in without
        rows.append(
            {
                "id": chain.id, "sequence": decode(chain.codes_L), "index": chain.index_L if known else None,
                "backbone_cA": pack_backbone(backbone_L43) if known else None,
            }
        )  # fmt: skip
    kinds = {name: schemas.STRUCTURES.field(name).type for name in ("id", "sequence", "index", "backbone_cA")}
    return pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))


def write(content: pa.Table, path) -> Location:  # noqa: ANN001
    pq.write_table(content, path, row_group_size=2)
    return Location(path)


@pytest.fixture
def net(tmp_path) -> Location:
    return Location(save_random_net(tmp_path / "net"))


@pytest.mark.parametrize("level", ["residue", "statistics"])
@pytest.mark.parametrize("kind", ["lm", "net"])
def test_each_kind_and_level(no_ray, net, tmp_path, kind, level) -> None:
    by = Embedding(lm=SHIPPED) if kind == "lm" else Embedding(model=net)
    file = write(table(), tmp_path / "proteins.parquet")
    folder = embed_proteins(Location(tmp_path / "out"), [file], by, level)
    found = {id: (sequence, values) for id, sequence, values in read_embeddings(folder)}
    assert list(found) == ["p0", "p1", "p2"]
    embed = by.open()
    for chain in CHAINS:
        sequence, values = found[chain.id]
        expected = embed(decode(chain.codes_L), ca_alone(chain.ca_L3), chain.index_L)
        expected = expected if level == "residue" else statistics_of(expected)
        width = by.width if level == "residue" else 2 * by.width + 1
        assert sequence == decode(chain.codes_L) and values.shape[-1] == width and by.width == embed.width
        np.testing.assert_allclose(values, expected, atol=2e-2, rtol=1e-2)  # coordinates have 0.01 Å


def test_a_protein_without_a_structure_is_named(no_ray, net, tmp_path) -> None:
    file = write(table("p1"), tmp_path / "proteins.parquet")
    folder = embed_proteins(Location(tmp_path / "out"), [file], Embedding(model=net))
    assert [id for id, *_ in read_embeddings(folder)] == ["p0", "p2"]
    (row,) = pq.read_table((folder / "rejected.parquet").path).to_pylist()
    assert row["id"] == "p1" and row["file"] == str(file) and "no coordinates" in row["reason"]


def test_sequences_alone_are_enough_for_a_language_model(no_ray, tmp_path) -> None:
    file = write(table().select(["id", "sequence"]), tmp_path / "proteins.parquet")
    folder = embed_proteins(Location(tmp_path / "out"), [file, file], Embedding(lm=SHIPPED), "statistics")
    assert len(list(read_embeddings(folder))) == 3 and level_of(folder) == "statistics"
    embed = Embedding(lm=SHIPPED).open()
    mean_C = mean_of(embed(decode(CHAINS[0].codes_L)))
    np.testing.assert_allclose(read_vectors([folder, folder], ["p0", "none"])[0], np.tile(mean_C, 2), atol=1e-5)
    both = read_statistics([folder], ["none", "p0"])
    assert both.shape == (2, 2 * len(mean_C) + 1) and np.isnan(both[0]).all()
    assert both[1, -1] == pytest.approx(np.log(9))
    reasons = pq.read_table((folder / "rejected.parquet").path)["reason"].to_pylist()
    assert len(reasons) == 3 and "is also that of a protein before it" in reasons[0]


def test_the_same_proteins_cost_nothing_again(no_ray, net, tmp_path, monkeypatch) -> None:
    """Whatever their file is called; another noise level is another embedding."""
    out, by = Location(tmp_path / "out"), Embedding(model=net)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = embed_proteins(out, [write(table(), tmp_path / "one" / "proteins.parquet")], by)
    monkeypatch.setattr(driver, "_compute", lambda *_: pytest.fail("computed again"))
    assert embed_proteins(out, [write(table(), tmp_path / "two" / "proteins.parquet")], by) == first
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        embed_proteins(out, [write(table(), tmp_path / "one" / "proteins.parquet")], Embedding(model=net, noise=5.0))


def test_unusable_models_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="give a language model or a model of structures"):
        Embedding()
    with pytest.raises(ValueError, match=r"holds no score_net\.json"):
        Embedding(model=Location(tmp_path)).identity()
    with pytest.raises(ValueError, match="there is no such folder"):
        Embedding(lm="/nowhere/at/all").identity()


@pytest.mark.ray
def test_on_ray(ray_local, net, tmp_path) -> None:
    file = write(table(), tmp_path / "proteins.parquet")
    folder = embed_proteins(Location(tmp_path / "out"), [file], Embedding(model=net))
    assert [id for id, *_ in read_embeddings(folder)] == ["p0", "p1", "p2"]
