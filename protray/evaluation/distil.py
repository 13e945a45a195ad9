"""Score every method of a distillation run on one split: tables, gains, and the trivial baselines beside them.

Shape key:  L residues   S states
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from protray.data.secondary.dataset import Proteins
from protray.evaluation.baselines import state_counts, trivial_predictions
from protray.evaluation.bins import DISJOINT_BINS
from protray.evaluation.secondary import confusion
from protray.evaluation.tables import LabelledProteins, Row, bin_rows, gain_rows, table_rows
from protray.seq.secondary import STATES, STATES8, to_three

OURS, REFERENCE = "protray", "Real"

# which of the three states each of DSSP's eight belongs to, one-hot, shape (8, 3)
_GROUP_83 = np.array([[to_three(eight) == three for three in STATES] for eight in STATES8], dtype=np.float32)


@dataclass(frozen=True)
class Evaluation:
    """All numbers of one split; rows as in `protray.evaluation.tables`."""

    table: list[Row]
    bins: list[Row]
    gains: list[Row]
    bin_gains: list[Row]
    confusion_SS: np.ndarray  # of `OURS`


def three_of(prob_LS: np.ndarray) -> np.ndarray:
    """Probabilities of H, E and C, from three or eight states; shape (L, 3).

    >>> three_of(np.full((1, 8), 1 / 8)).tolist()  # H, G, I; E, B; T, S, C
    [[0.375, 0.25, 0.375]]
    """
    return prob_LS if prob_LS.shape[1] == len(STATES) else prob_LS @ _GROUP_83


def evaluate(proteins: Proteins, split: str, probabilities: Mapping[str, Mapping[str, np.ndarray]]) -> Evaluation:
    """Score `probabilities` (method -> protein id -> (L, S)) on the labelled proteins of a split.

    A method that lacks a protein is an error: nothing is dropped in silence.
    """
    rows = proteins.of_split(split)
    rows = rows[proteins.labelled[rows] > 0]
    if not len(rows):
        raise ValueError(f"the {split} split has no labelled protein, so there is nothing to evaluate on")
    names = [proteins.ids[row] for row in rows]
    for method, of in probabilities.items():
        if missing := [name for name in names if name not in of]:
            raise ValueError(f"{method} lacks {len(missing)} of {len(names)} {split} proteins, the first: {missing[0]}")
    truth = LabelledProteins(
        ss3={name: proteins.ss3(row) for name, row in zip(names, rows, strict=True)},
        msa_count=proteins.msa_counts[rows],
        meff=proteins.meff[rows],
        ss8=_eight(proteins, names, rows),
    )
    methods = {
        method: {name: three_of(of[name]).argmax(axis=1) for name in names} for method, of in probabilities.items()
    }
    eight = {
        method: {name: of[name].argmax(axis=1) for name in names}
        for method, of in probabilities.items()
        if of[names[0]].shape[1] == len(STATES8)
    }
    learnt = methods | _trivial(proteins, names, rows)
    return Evaluation(
        table=table_rows(learnt, truth, eight if truth.ss8 else None),
        bins=bin_rows(learnt, truth, eight if truth.ss8 else None),
        gains=gain_rows(methods, truth, REFERENCE),
        bin_gains=gain_rows(methods, truth, REFERENCE, DISJOINT_BINS),
        confusion_SS=confusion(methods[OURS], truth.ss3),
    )


def _eight(proteins: Proteins, names: list[str], rows: np.ndarray) -> dict[str, np.ndarray] | None:
    """Eight-state labels, where every protein of the split has them."""
    labels = {name: proteins.ss8(row) for name, row in zip(names, rows, strict=True)}
    return labels if all((codes_L >= 0).any() for codes_L in labels.values()) else None


def _trivial(proteins: Proteins, names: list[str], rows: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    train = [row for row in proteins.of_split("train") if proteins.labelled[row]]
    counts_AS = state_counts([proteins.codes(row) for row in train], [proteins.ss3(row) for row in train])
    return trivial_predictions(counts_AS, {name: proteins.codes(row) for name, row in zip(names, rows, strict=True)})
