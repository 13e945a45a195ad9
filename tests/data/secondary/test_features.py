from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from tiny import FEATURES, tiny_proteins

from protray.data.secondary.dataset import Proteins
from protray.data.secondary.features import Features
from protray.seq.downsample import Prior
from protray.seq.pseudo_msa import pseudo_pssm
from protray.seq.pssm import count_residues, pssm

PROTEINS = tiny_proteins()
TRAIN = PROTEINS.of_split("train")
DEEP = int(TRAIN[PROTEINS.deep[TRAIN]][0])
SHALLOW = int(TRAIN[~PROTEINS.deep[TRAIN]][0])
PRIOR = Prior.of(PROTEINS.msa_counts[TRAIN])


def test_high_is_the_pssm_of_all_rows() -> None:
    features = Features(PROTEINS, FEATURES)
    for row in (DEEP, SHALLOW):
        msa_NL = PROTEINS.msa(row)
        np.testing.assert_allclose(features.high(row), pssm(count_residues(msa_NL), len(msa_NL)), atol=1e-6)
        assert features.high(row) is features.high(row)  # computed once


def test_settings_reach_the_pssm() -> None:
    features = Features(PROTEINS, replace(FEATURES, background="fixed", pseudocount=0.5))
    expected_LA = pssm(PROTEINS.counts(DEEP), PROTEINS.n_rows(DEEP), "fixed", 0.5)
    np.testing.assert_array_equal(features.high(DEEP), expected_LA)


def test_bert_is_the_pssm_of_the_pseudo_alignment() -> None:
    features = Features(PROTEINS, replace(FEATURES, seed=3, background="fixed"))
    key = (3, PROTEINS.ids[DEEP])
    expected_LA = pseudo_pssm(PROTEINS.prob_map(DEEP), PROTEINS.codes(DEEP), key, "multinomial", "fixed")
    np.testing.assert_array_equal(features.bert(DEEP), expected_LA)
    assert features.bert(DEEP) is features.bert(DEEP)


def test_same_seed_epoch_and_id_draw_the_same_rows() -> None:
    first, second = Features(PROTEINS, FEATURES, PRIOR), Features(PROTEINS, FEATURES, PRIOR)
    second.low(int(TRAIN[-1]), "prior", 0)  # what was drawn before does not matter
    np.testing.assert_array_equal(first.low(DEEP, "prior", 5), second.low(DEEP, "prior", 5))


def test_other_epochs_and_seeds_draw_others() -> None:
    features = Features(PROTEINS, FEATURES, PRIOR)
    drawn = {features.low(DEEP, "fixed-ratio", epoch).tobytes() for epoch in range(10)}
    assert len(drawn) == 10
    other = Features(PROTEINS, replace(FEATURES, seed=1), PRIOR)
    assert other.low(DEEP, "fixed-ratio", 0).tobytes() not in drawn


def test_prior_depths_are_drawn() -> None:
    """Depth n of a drawn PSSM: an entry that was never counted is ln(1 / ((n + 1) + 20) / B)."""
    features = Features(PROTEINS, replace(FEATURES, background="fixed"), PRIOR)
    depths = set()
    for epoch in range(60):
        low_LA = features.low(DEEP, "prior", epoch)
        absent = pssm(np.zeros((1, 20)), 1, "fixed")[0] + np.log(21)  # ln(1 / B)
        depths.add(round(float(np.exp((absent - low_LA).max())) - 21))
    assert depths == {n for n, proteins in enumerate(PRIOR.counts) if proteins}


def test_fixed_ratio_by_hand() -> None:
    """10 % of the homologs, rounded, and the query."""
    features = Features(PROTEINS, replace(FEATURES, fixed_ratio=1.0))
    np.testing.assert_allclose(features.low(DEEP, "fixed-ratio", 0), features.high(DEEP), atol=1e-6)
    none = Features(PROTEINS, replace(FEATURES, fixed_ratio=0.0)).low(DEEP, "fixed-ratio", 0)
    np.testing.assert_array_equal(none, pssm(count_residues(PROTEINS.msa(DEEP)[:1]), 1, "smoothed"))


def test_only_deep_proteins_are_lowered() -> None:
    features = Features(PROTEINS, FEATURES, PRIOR)
    shallow = features.example(SHALLOW, "prior", epoch=1)
    assert not shallow.deep and shallow.low_LA is shallow.high_LA
    deep = features.example(DEEP, "prior", epoch=1)
    assert deep.deep and not np.array_equal(deep.low_LA, deep.high_LA)
    natural = features.example(DEEP)
    assert natural.low_LA is natural.high_LA


def test_what_is_not_asked_for_is_not_there() -> None:
    example = Features(PROTEINS, replace(FEATURES, bert=False, lm_hidden=False)).example(DEEP)
    assert example.bert_LA is None and example.hidden_LC is None


def test_prior_is_needed() -> None:
    with pytest.raises(ValueError, match="needs the histogram of homolog counts"):
        Features(PROTEINS, FEATURES).low(DEEP, "prior", 0)


def test_fixed_ratio_is_of_the_alignment_not_of_its_stored_rows() -> None:
    """64 of 301 rows are kept: a tenth of 300 homologs is 30, not 6; half of them is more than 63."""
    kept = 64
    msa_NL = PROTEINS.msa(DEEP)[:kept]
    assert len(msa_NL) == kept
    row = PROTEINS.table.slice(DEEP, 1).to_pylist()[0]
    row |= {"n_rows": 301, "msa_count": 300, "msa_rows": kept, "msa": msa_NL.tobytes()}
    proteins = Proteins(pa.Table.from_pylist([row], schema=PROTEINS.table.schema))
    rows = []

    def counted(self: Features, counts_LA: np.ndarray, n_rows: int) -> np.ndarray:
        rows.append(n_rows)
        return counts_LA

    for ratio in (0.1, 0.5, 1.0):
        features = Features(proteins, replace(FEATURES, fixed_ratio=ratio, bert=False))
        features._pssm = counted.__get__(features)  # type: ignore[method-assign]
        features.low(0, "fixed-ratio", 0)
    assert rows == [31, 64, 64]  # with the query
