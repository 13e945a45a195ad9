"""The bundled sample as it lies in the package: 1,000 real chains."""

from collections import defaultdict

import numpy as np
import pyarrow.parquet as pq
import pytest

from protray.data.sample import SAMPLE, SCHEMA
from protray.seq.alphabet import GAP, N_AA, UNKNOWN, decode, encode
from protray.seq.downsample import LOW_QUALITY
from protray.seq.secondary import STATES8

TABLE = pq.read_table(SAMPLE)
ROWS = TABLE.select(["id", "sequence", "ss8", "msa_rows", "homologs_found", "cluster", "split"]).to_pylist()
BACKBONE_LENGTHS = TABLE["backbone_cA"].combine_chunks().value_lengths().to_numpy()


def test_size_and_schema() -> None:
    assert SAMPLE.stat().st_size < 8_000_000
    assert len(ROWS) >= 900
    assert TABLE.schema.equals(SCHEMA)
    assert len({row["id"] for row in ROWS}) == len(ROWS)


def test_about_half_is_deep_and_some_have_no_homolog() -> None:
    homologs = np.array([row["msa_rows"] - 1 for row in ROWS])
    assert 0.4 <= (homologs > LOW_QUALITY).mean() <= 0.6
    assert (homologs == 0).sum() >= 50
    assert homologs.max() <= 127


def test_the_cap_never_makes_a_deep_protein_shallow() -> None:
    for row in ROWS:
        assert row["msa_rows"] == min(row["homologs_found"], 127) + 1


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_split_has_deep_shallow_and_lonely_proteins(split) -> None:
    homologs = np.array([row["msa_rows"] - 1 for row in ROWS if row["split"] == split])
    assert (homologs > LOW_QUALITY).sum() >= 35
    assert ((homologs > 0) & (homologs <= LOW_QUALITY)).sum() >= 50
    assert (homologs == 0).sum() >= 25


def test_no_cluster_is_in_two_splits() -> None:
    splits = defaultdict(set)
    for row in ROWS:
        splits[row["cluster"]].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}


def test_no_sequence_is_there_twice() -> None:
    assert len({row["sequence"] for row in ROWS}) == len(ROWS)


def test_lengths_agree() -> None:
    for row, msa, backbone in zip(ROWS, TABLE["msa"], BACKBONE_LENGTHS, strict=True):
        length = len(row["sequence"])
        assert 50 <= length <= 128
        assert len(row["ss8"]) == length, row["id"]
        assert backbone == length * 4 * 3, row["id"]
        assert len(msa.as_py()) == length * row["msa_rows"], row["id"]
    assert TABLE["origin"].combine_chunks().value_lengths().unique().to_pylist() == [3]


def test_letters_and_codes() -> None:
    assert set("".join(row["ss8"] for row in ROWS)) <= set(STATES8 + "-")
    for row, msa in zip(ROWS, TABLE["msa"], strict=True):
        msa_NL = np.frombuffer(msa.as_py(), np.uint8).reshape(row["msa_rows"], -1)
        assert msa_NL.max() <= GAP
        assert decode(msa_NL[0]) == row["sequence"], row["id"]
        assert (encode(row["sequence"]) <= UNKNOWN).all()
        assert (msa_NL < N_AA).any(axis=1).all(), row["id"]  # no homolog of gaps alone


def test_backbones_are_backbones() -> None:
    """N-CA 1.46 Å, CA-C 1.52 Å, C=O 1.23 Å, peptide bond C-N 1.33 Å: medians over all chains."""
    bonds = defaultdict(list)
    for backbone in TABLE["backbone_cA"].to_pylist()[:200]:
        n, ca, c, o = (np.array(backbone, float).reshape(-1, 4, 3) / 100).transpose(1, 0, 2)
        for name, a, b in [("N-CA", n, ca), ("CA-C", ca, c), ("C=O", c, o), ("C-N", c[:-1], n[1:])]:
            bonds[name].extend(np.linalg.norm(a - b, axis=-1))
    medians = {name: float(np.median(lengths)) for name, lengths in bonds.items()}
    assert medians == pytest.approx({"N-CA": 1.46, "CA-C": 1.525, "C=O": 1.23, "C-N": 1.33}, abs=0.02)
