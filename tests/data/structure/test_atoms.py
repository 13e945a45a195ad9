"""Proteins with all their atoms in memory: datasets with and without the columns, older ones, the bundled sample."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from atoms_here import atoms_of, full, row, table

from protray.data.sample import ENZYMES, FULL_ATOM, SAMPLE
from protray.data.splits import relatives
from protray.data.structure.atoms import AtomChain, gather, read_atoms
from protray.data.structure.rows import pack_backbone
from protray.data.structure.structures import FOLDER, read_structures
from protray.seq.alphabet import AMINO_ACIDS, decode, encode
from protray.struct.residues.atom14 import ATOMS, CHI_SLOTS, EQUIVALENT, HAS

LATER = ["sidechains_cA", "chain_index", "plddt"]


def dataset(folder: Path, *parts: pa.Table) -> Path:
    (folder / FOLDER).mkdir()
    for number, part in enumerate(parts):
        pq.write_table(part, folder / FOLDER / f"part-{number}.parquet")
    (folder / "dataset.json").write_text("{}")
    return folder


def equal(one: AtomChain, two: AtomChain) -> None:
    assert one.id == two.id and (one.plddt_L is None) == (two.plddt_L is None)
    for name in ("codes_L", "index_L", "chain_L", "atoms_LA3", "present_LA", "plddt_L"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_atoms_come_back_to_a_hundredth(tmp_path) -> None:
    sequence = AMINO_ACIDS + "X"
    found = read_atoms(dataset(tmp_path, table(row("a", sequence, **full(sequence)))))
    chain, expected_LA3 = found.chain(0), atoms_of(sequence)
    assert found.has_side_chains and decode(chain.codes_L) == sequence and len(chain) == 21
    np.testing.assert_array_equal(chain.present_LA, HAS[encode(sequence)])
    np.testing.assert_allclose(chain.atoms_LA3[chain.present_LA], expected_LA3[chain.present_LA], atol=0.0051)
    assert (chain.atoms_LA3[~chain.present_LA] == 0).all() and not np.isnan(chain.atoms_LA3).any()
    types = [getattr(chain, name).dtype for name in ("codes_L", "index_L", "chain_L", "atoms_LA3", "present_LA")]
    assert types == [np.uint8, np.int32, np.int8, np.float32, bool]


def test_rows_with_and_without_side_chains_chains_and_plddt(tmp_path) -> None:
    """In two files, of which one is older and has no such columns; sorted by id."""
    new = table(
        row("d", "GSG", **full("GSG"), chain_index=[0, 0, 1]), row("b", "AC", split="test", plddt=[91, 30]),
    )  # fmt: skip
    old = table(row("c", "SSSS"), row("a", "W")).drop_columns(LATER)
    found = read_atoms(dataset(tmp_path, new, old))
    assert (found.ids, found.clusters) == (list("abcd"), ["ca", "cb", "cc", "cd"])
    assert (found.lengths.tolist(), found.starts.tolist()) == ([1, 2, 4, 3], [0, 1, 3, 7, 10])
    a, b, c, d = map(found.chain, range(4))
    assert d.present_LA.sum(axis=1).tolist() == [4, 6, 4] and c.present_LA.sum(axis=1).tolist() == [4] * 4
    assert d.chain_L.tolist() == [0, 0, 1] and c.chain_L.tolist() == [0] * 4 and d.index_L.tolist() == [0, 2, 4]
    assert b.plddt_L is not None and b.plddt_L.tolist() == [91, 30] and a.plddt_L is d.plddt_L is None
    assert read_atoms(tmp_path, "test").ids == ["b"] and not read_atoms(tmp_path, "test").has_side_chains
    some = found.select([3, 1])
    assert (some.ids, some.clusters, some.starts.tolist()) == (["d", "b"], ["cd", "cb"], [0, 3, 5])
    for place, chain in enumerate((d, b)):
        equal(some.chain(place), chain)
    with pytest.raises(ValueError, match="holds no protein of the split 'validation': make it with more .*--split-by"):
        read_atoms(tmp_path, "validation")
    np.testing.assert_array_equal(read_structures(tmp_path).ca_R3[:1], a.atoms_LA3[:, 1])  # both readers, both files


def test_an_old_dataset_is_one_of_backbones(tmp_path) -> None:
    found = read_atoms(dataset(tmp_path, table(row("a", "ACD")).drop_columns(LATER)))
    assert found.sidechains_R103 is None and not found.has_side_chains
    chain = found.chain(0)
    assert chain.present_LA.tolist() == [[True] * 4 + [False] * 10] * 3 and chain.plddt_L is None
    assert len(gather([])) == 0 and gather([]).starts.tolist() == [0]


def test_a_dataset_that_lacks_an_older_column_is_named(tmp_path) -> None:
    dataset(tmp_path, table(row("a", "ACD")).drop_columns("cluster"))
    with pytest.raises(ValueError, match=r"part-0.parquet: column 'cluster' is missing"):
        read_atoms(tmp_path)


def test_missing_atoms(tmp_path) -> None:
    """A C-alpha trace; a serine without OG."""
    trace_LA3, serine_LA3 = atoms_of("AC"), atoms_of("S")
    trace_LA3[:, [0, 2, 3]] = serine_LA3[:, 5] = np.nan
    trace = {"backbone_cA": pack_backbone(trace_LA3[:, :4]), "sidechains_cA": [-32768] * 60}
    serine = {"sidechains_cA": pack_backbone(serine_LA3[:, 4:])}
    found = read_atoms(dataset(tmp_path, table(row("a", "AC", **trace), row("b", "S", **serine))))
    assert found.chain(0).present_LA.nonzero()[1].tolist() == [1, 1]
    assert found.chain(1).present_LA.nonzero()[1].tolist() == [0, 1, 2, 3, 4]
    assert not found.select([0]).has_side_chains and found.has_side_chains


@pytest.mark.parametrize("places", [np.array([3, 0]), slice(1, 3)])
def test_cut(tmp_path, places) -> None:
    more = full("GSAW") | {"chain_index": [0, 0, 1, 1], "plddt": [1, 2, 3, 4]}
    chain = read_atoms(dataset(tmp_path, table(row("a", "GSAW", **more)))).chain(0)
    cut = chain.cut(places)
    order = np.arange(4)[places]
    assert decode(cut.codes_L) == "".join("GSAW"[k] for k in order) and cut.index_L.tolist() == (2 * order).tolist()
    assert cut.plddt_L is not None and cut.plddt_L.tolist() == (order + 1).tolist()
    np.testing.assert_array_equal(cut.atoms_LA3, chain.atoms_LA3[order])
    np.testing.assert_array_equal(cut.present_LA, chain.present_LA[order])
    assert cut.chain_L.tolist() == (order // 2).tolist()


# ---- the bundled sample


def test_the_sample_has_its_chains_and_more_with_side_chains() -> None:
    found, backbones = read_atoms(), read_structures()
    more = pq.read_table(FULL_ATOM, columns=["id", "sequence", "split"]).to_pylist()
    assert len(found) == 1000 + len(more) and set(found.ids) == set(backbones.ids) | {row["id"] for row in more}
    assert found.ids == sorted(found.ids) and found.has_side_chains
    for id in backbones.ids[::97]:
        chain, other = found.chain(found.ids.index(id)), backbones.chain(backbones.ids.index(id))
        np.testing.assert_allclose(chain.atoms_LA3[:, 1], other.ca_L3, atol=1e-5)
        assert not chain.present_LA[:, 4:].any()
    splits = Counter(row["split"] for row in more)
    parts = {split: read_atoms(split=split) for split in ("train", "validation", "test")}
    assert [len(part) for part in parts.values()] == [
        640 + splits["train"],
        120 + splits["validation"],
        240 + splits["test"],
    ]
    clusters = [set(part.clusters) for part in parts.values()]
    assert not clusters[0] & clusters[1] and not clusters[0] & clusters[2] and not clusters[1] & clusters[2]


def test_full_atom_chains_are_whole_and_their_names_follow_the_rule() -> None:
    assert FULL_ATOM.stat().st_size < 3_000_000
    found = gather([pq.read_table(FULL_ATOM)])
    lost = within = named = 0
    for m in range(len(found)):
        chain = found.chain(m)
        assert 50 <= len(chain) <= 300 and chain.present_LA[:, :4].all()
        assert not (chain.present_LA & ~HAS[chain.codes_L]).any()
        lost += int((HAS[chain.codes_L] & ~chain.present_LA).sum())
        reach_LA = np.linalg.norm(chain.atoms_LA3 - chain.atoms_LA3[:, 1:2], axis=2)
        assert reach_LA[chain.present_LA].max() < 10
        for aa, (chi, (_, second), *_) in EQUIVALENT.items():
            code = AMINO_ACIDS.index(aa)
            slots = CHI_SLOTS[code, chi - 1]
            other = [*slots[:3], ATOMS[aa].index(second)]
            rows = np.flatnonzero((chain.codes_L == code) & chain.present_LA[:, [*slots, other[3]]].all(axis=1))
            one, two = (np.degrees(np.abs(torsion(chain.atoms_LA3[rows][:, path]))) for path in (slots, other))
            assert (one < two + 0.5).all(), chain.id  # half a degree for the hundredths of Å
            within, named = within + (one <= 90.5).sum(), named + len(one)
    assert lost < 0.01 * 4 * len(found.codes_R)
    assert named > 10_000 and within > 0.99 * named  # the others are distorted: neither is within 90 degrees


def torsion(points_N43: np.ndarray) -> np.ndarray:
    """IUPAC's, in radians, by the formula with atan2."""
    a, b, c = np.diff(points_N43.astype(float), axis=1).transpose(1, 0, 2)
    left, right = np.cross(a, b), np.cross(b, c)
    y = (a * right).sum(axis=1) * np.linalg.norm(b, axis=1)
    return np.arctan2(y, (left * right).sum(axis=1))


def test_a_full_atom_chain_is_a_relative_of_none_that_is_kept_for_a_test() -> None:
    """Nor one that is kept for a test of one that trains.  Some chains of each split, for time."""
    columns = ["id", "sequence", "split"]
    more = pq.read_table(FULL_ATOM, columns=columns).to_pylist()
    kept = [row for file in (SAMPLE, ENZYMES) for row in pq.read_table(file, columns=columns).to_pylist()]

    def some(rows: list[dict], trains: bool) -> dict[str, str]:
        return {row["id"]: row["sequence"] for row in rows if (row["split"] == "train") == trains}

    for trains in (True, False):
        few = dict(list(some(more, trains).items())[::30])
        assert len(few) >= 4 and relatives(some(kept, not trains), few, 0.25) == {}
