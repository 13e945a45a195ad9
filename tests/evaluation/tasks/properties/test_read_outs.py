"""Read-outs of frozen vectors: nearest rows by hand, and the discriminant as scikit-learn has it."""

import numpy as np
import pytest

from protray.evaluation.tasks.properties.discriminant import Spread, choose_discriminant
from protray.evaluation.tasks.properties.function_baselines import state_composition
from protray.evaluation.tasks.properties.read_outs import choose_count, nearest, read_out_of, standardised
from protray.struct.files.chain import Chain

TRAIN_MF = np.array([[1.0, 0], [0.6, 0.8], [0, 1], [-1, 0]])
Y_MT = np.array([[1.0, 0], [0, 1], [0, 1], [1, 1]])


def test_the_nearest_rows_by_hand() -> None:
    """Cosines of (2, 0): 1, 0.6, 0, -1; of the origin 0 with all."""
    near = nearest(np.array([[2.0, 0], [0, 0]]), TRAIN_MF)
    assert near.place_QK[0].tolist() == [0, 1, 2, 3] and near.cosine_QK[0].tolist() == [1, 0.6, 0, -1]
    assert near.mean(1, Y_MT).tolist() == [[1, 0], [0.5, 0.75]]  # without any neighbour: the training mean
    assert near.mean(3, Y_MT)[0].tolist() == pytest.approx([1 / 1.6, 0.6 / 1.6])
    assert (near.mean(30, Y_MT) == near.mean(3, Y_MT)).all()  # the last one's cosine is below 0
    assert choose_count(near, Y_MT, lambda found_QT: found_QT[0, 1]) == 3
    assert choose_count(near, Y_MT, lambda found_QT: found_QT[0, 0]) == 1


def test_many_queries_are_as_one_after_another() -> None:
    rng = np.random.default_rng(0)
    x_QF, x_MF = rng.normal(size=(1100, 3)), rng.normal(size=(40, 3))
    near = nearest(x_QF, x_MF)
    assert near.place_QK.shape == (1100, 30)
    assert near.place_QK[1099].tolist() == nearest(x_QF[1099:], x_MF).place_QK[0].tolist()


def test_numbers_that_are_always_the_same_or_missing_say_nothing() -> None:
    train = np.array([[1, 0.1, np.nan], [3, 0.1, 4], [np.nan, 0.1, 6]], np.float32)
    found, other = standardised(train, np.array([[2, 0.3, 5.0]], np.float32))
    assert found.tolist() == [[-1, 0, 0], [1, 0, -1], [0, 0, 1]] and other.tolist() == [[0, 0, 0]]


def test_names_say_the_read_out() -> None:
    heads = ["language model", "score net a, b"]
    names = ["language model", "language model, nearest neighbours", "composition, logistic", "majority"]
    assert [read_out_of(name, heads) for name in names] == ["3-layer head", "nearest neighbours", "logistic", "–"]
    assert read_out_of("score net a, b", heads) == "3-layer head"


def classes(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes whose numbers go together."""
    rng = np.random.default_rng(seed)
    label_N = np.arange(rows) % 3
    mixed_FF = np.random.default_rng(7).normal(size=(6, 6))
    return rng.normal(size=(rows, 6)) @ mixed_FF + np.eye(3, 6)[label_N] * 3, label_N


@pytest.mark.parametrize("shrinkage", [0.01, 0.5, 1.0])
def test_the_discriminant_is_scikit_learns(shrinkage) -> None:
    """Its covariance is divided by N, ours by N - T; it shrinks towards the same sphere."""
    from sklearn.covariance import shrunk_covariance
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    class Ours:
        def fit(self, within_NF: np.ndarray) -> "Ours":
            square_FF = within_NF.T @ within_NF / (len(within_NF) - 3)
            self.covariance_ = shrunk_covariance(square_FF, shrinkage)
            return self

    x_NF, label_N = classes(90)
    x_NF[::5] += 1  # classes of other spreads
    found = Spread.of(x_NF, label_N, 3).discriminant(shrinkage)
    within_NF = x_NF - np.stack([x_NF[label_N == t].mean(axis=0) for t in range(3)])[label_N]
    covariance_FF = Ours().fit(within_NF).covariance_
    mean_TF = np.stack([x_NF[label_N == t].mean(axis=0) for t in range(3)])
    weight_FT = np.linalg.solve(covariance_FF, mean_TF.T)
    assert found.weight_FT == pytest.approx(weight_FT)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Ours()).fit(x_NF, label_N)
    theirs.coef_, theirs.intercept_ = weight_FT.T, -0.5 * np.diag(mean_TF @ weight_FT) + np.log([1 / 3] * 3)
    assert found.predict(x_NF) == pytest.approx(theirs.predict_proba(x_NF), abs=1e-10)


def test_the_shrinkage_is_the_validations_best() -> None:
    """With 40 numbers of 30 rows a sphere is better; of 3,000 rows of numbers that go together, the covariance is."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(330, 40))
    label_N = np.arange(330) % 3
    x_NF = noise + 1.2 * np.eye(3, 40)[label_N]
    few = choose_discriminant(x_NF[:30], label_N[:30], 3, x_NF[30:], label_N[30:])
    assert few.shrinkage >= 0.3
    (x_NF, label_N), (other_NF, others_N) = classes(3000), classes(3000, 1)
    many = choose_discriminant(x_NF, label_N, 3, other_NF, others_N)
    assert many.shrinkage <= 0.1 and (many.predict(other_NF).argmax(axis=1) == others_N).mean() > 0.75
    with pytest.raises(ValueError, match="3 training rows of 3 classes, 0 of which have none"):
        choose_discriminant(x_NF[:3], label_N[:3], 3, x_NF, label_N)
    with pytest.raises(ValueError, match="shrinkage is a share above 0"):
        Spread.of(x_NF, label_N, 3).discriminant(0.0)


def test_composition_of_states() -> None:
    """An ideal helix of 12 residues is mostly helix; a chain without a structure has NaN."""
    from protray.data.sample import sample_table

    (row,) = sample_table().slice(0, 1).to_pylist()
    backbone_L43 = np.array(row["backbone_cA"], np.float32).reshape(-1, 4, 3) / 100
    chain = Chain("A", row["sequence"], backbone_L43, ())
    found = state_composition([chain, None])
    assert found[0, :3].sum() == pytest.approx(1) and np.isnan(found[1]).all()
    assert found[0, 0] == pytest.approx(row["ss3"].count("H") / len(row["ss3"]), abs=0.15)
    assert found[0, 3] == pytest.approx(np.log(len(row["sequence"])))
