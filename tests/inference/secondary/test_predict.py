"""What a predictor gives must depend on the protein alone, not on its neighbours in a batch."""

from pathlib import Path

import numpy as np
import pytest
from tiny_model import LM_CHANNELS, save_tiny_lm, save_tiny_model

from protray.inference.secondary.predict import Prediction, Predictor, Query
from protray.plm.masked import hidden_rows, probability_map
from protray.seq.alphabet import UNKNOWN, encode

FLOAT_NOISE = 1e-5  # of probabilities and nats, in single precision


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("predictor")
    return save_tiny_model(folder / "model", save_tiny_lm(folder / "lm"))


@pytest.fixture(scope="module")
def predictor(model) -> Predictor:
    return Predictor.open(model)


def synthetic(id: str, rows: int, length: int) -> Query:
    rng = np.random.default_rng([rows, length])
    query_L = rng.integers(0, 20, length, dtype=np.uint8)
    changed_NL = rng.random((rows, length)) < 0.3
    changed_NL[0] = False
    return Query(id, np.where(changed_NL, rng.integers(0, 22, (rows, length), dtype=np.uint8), query_L))


QUERIES = [synthetic("a", 5, 12), synthetic("b", 1, 30), synthetic("c", 40, 1), synthetic("d", 2, 19)]


def assert_same(one: Prediction, other: Prediction) -> None:
    assert one.id == other.id
    assert one.msa_count == other.msa_count
    np.testing.assert_allclose(one.prob_L3, other.prob_L3, atol=FLOAT_NOISE)
    np.testing.assert_allclose(one.pssm_enhanced_LA, other.pssm_enhanced_LA, atol=FLOAT_NOISE)


def test_a_prediction_by_hand() -> None:
    prediction = Prediction("p", 0, np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]]), np.zeros((3, 20)))
    assert prediction.ss3 == "EHC"


def test_shapes_and_probabilities(predictor) -> None:
    for query, found in zip(QUERIES, predictor.predict(QUERIES), strict=True):
        n_rows, length = query.msa_NL.shape
        assert found.id == query.id
        assert found.msa_count == n_rows - 1
        assert found.prob_L3.shape == (length, 3)
        assert found.pssm_enhanced_LA.shape == (length, 20)
        np.testing.assert_allclose(found.prob_L3.sum(axis=1), 1, atol=FLOAT_NOISE)


def test_neighbours_and_their_order_change_nothing(predictor) -> None:
    together = predictor.predict(QUERIES)
    backwards = predictor.predict(QUERIES[::-1])[::-1]
    for query, one, other in zip(QUERIES, together, backwards, strict=True):
        assert_same(one, other)
        assert_same(one, predictor.predict([query])[0])


def test_homologs_and_the_language_model_count(predictor, model) -> None:
    """Were either ignored, the tests above would hold for the wrong reason."""
    deep = synthetic("p", 30, 25)
    alone = Query("p", deep.msa_NL[:1])
    with_homologs, without = predictor.predict([deep])[0], predictor.predict([alone])[0]
    assert np.abs(with_homologs.prob_L3 - without.prob_L3).max() > 100 * FLOAT_NOISE
    flat = Query("p", alone.msa_NL, np.full((25, 20), 0.05), np.zeros((25, LM_CHANNELS), dtype=np.float32))
    assert np.abs(predictor.predict([flat])[0].prob_L3 - without.prob_L3).max() > 100 * FLOAT_NOISE


def test_outputs_of_the_language_model_can_be_brought_along(predictor, model) -> None:
    query = synthetic("q", 3, 17)
    codes_L = query.msa_NL[0]
    prob_LA = probability_map(predictor.lm, codes_L)
    hidden_LC = hidden_rows(predictor.lm, codes_L).astype(np.float16).astype(np.float32)  # as it is stored
    bare = Predictor.open(model, with_lm=False)
    assert_same(predictor.predict([query])[0], bare.predict([Query(query.id, query.msa_NL, prob_LA, hidden_LC)])[0])
    with pytest.raises(ValueError, match="opened without its language model; give prob_LA and hidden_LC"):
        bare.predict([query])


def test_a_protein_of_unknown_residues_has_finite_numbers(predictor) -> None:
    codes_L = encode("MKX")
    codes_L = np.full_like(codes_L, UNKNOWN)
    (found,) = predictor.predict([Query("x", codes_L[None])])
    assert np.isfinite(found.prob_L3).all()
    assert np.isfinite(found.pssm_enhanced_LA).all()


def test_a_folder_that_is_no_model(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"no config.json in it; give the folder `model` of a finished"):
        Predictor.open(tmp_path)
