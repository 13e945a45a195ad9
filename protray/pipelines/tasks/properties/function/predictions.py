"""What each method of a function run predicts: baselines, read-outs of the embeddings, heads.

Shape key:  N proteins   T labels   F features
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from protray.data.splits import SPLITS
from protray.data.structure.structures import stored_backbone
from protray.data.tasks.examples import Rows, read_rows, read_statistics
from protray.data.tasks.function import Proteins
from protray.data.tasks.tables import TaskRow
from protray.evaluation.tasks.properties.cath import same_class
from protray.evaluation.tasks.properties.discriminant import choose_discriminant
from protray.evaluation.tasks.properties.function import fmax
from protray.evaluation.tasks.properties.function_baselines import choose_logistic, composition, state_composition
from protray.evaluation.tasks.properties.read_outs import LINEAR, standardised
from protray.pipelines.tasks.properties.function.inputs import FunctionRun, proteins_of
from protray.pipelines.tasks.properties.heads import HeadInputs, head_predictions
from protray.pipelines.tasks.properties.read_outs import Found, read_outs
from protray.pipelines.tasks.tuned.models import tuned_predictions
from protray.struct.files.chain import Chain

log = logging.getLogger(__name__)

FREQUENCIES, MAJORITY, TRANSFER = "label frequencies", "majority", "transfer from the nearest"
LENGTH, COMPOSITION, STATES = "log L", "composition + log L", "DSSP composition + log L"


@dataclass(frozen=True)
class Predicted:
    """Predictions of the validation and the test proteins; what was chosen for them on the validation split."""

    found: Found
    chosen: dict[str, str]
    same: dict[str, np.ndarray] = field(default_factory=dict)  # `same_class` of the chains of all splits, for folds


def all_predictions(run: FunctionRun, inputs: HeadInputs, state: dict, device: str) -> Predicted:
    """Ray task: of all methods, the simplest first."""
    parts = [read_rows(inputs.examples, split) for split in SPLITS]
    found = folds(run, inputs, parts) if run.task == "cath" else functions(run, inputs, parts)
    ids = parts[1].ids + parts[2].ids
    for name, score_NT in head_predictions(run, inputs, state, ids, "labels", device).items():
        found.found[name] = (score_NT[: len(parts[1])], score_NT[len(parts[1]) :])
    for name, (one, other) in tuned_predictions(run, inputs.of_tuned, state, parts[1:], run.kind, device).items():
        found.found[name] = (one, other)
    return found


def functions(run: FunctionRun, inputs: HeadInputs, parts: list[Rows]) -> Predicted:
    """Many labels of a protein: frequencies, logistic regressions, nearest sequences and vectors."""
    train, validation, test = parts
    true_BT = validation.target_NT > 0.5

    def logistic(x: Sequence[np.ndarray]) -> tuple[list[np.ndarray], str]:
        best = choose_logistic(x[0], train.target_NT, x[1], validation.target_NT)
        return [best.predict(part) for part in x[1:]], f"penalty {best.penalty:g}"

    def quality(score_BT: np.ndarray) -> float:
        return fmax(score_BT, true_BT)

    simple, of_simple = _read_off(simple_features(proteins_of(run)[0], parts), logistic)
    found, chosen = {FREQUENCIES: _frequencies(parts)} | simple, of_simple
    found[TRANSFER], chosen[TRANSFER] = _transfer(parts, quality)
    more, also = read_outs(inputs.vectors, parts, logistic, quality)
    return Predicted(found | more, chosen | also)


def folds(run: FunctionRun, inputs: HeadInputs, parts: list[Rows]) -> Predicted:
    """One class of a chain: linear discriminants, nearest sequences and vectors; and what the nearest chains are."""
    label_N, validation_N, _ = (rows.target_NT.argmax(axis=1) for rows in parts)
    classes = parts[0].target_NT.shape[1]

    def discriminant(x: Sequence[np.ndarray]) -> tuple[list[np.ndarray], str]:
        best = choose_discriminant(x[0], label_N, classes, x[1], validation_N)
        return [best.predict(part) for part in x[1:]], f"shrinkage {best.shrinkage:g}"

    def quality(score_BT: np.ndarray) -> float:
        return float((score_BT.argmax(axis=1) == validation_N).mean())

    features = simple_features(proteins_of(run)[0], parts)
    simple, of_simple = _read_off(features, discriminant)
    found, chosen = {MAJORITY: _frequencies(parts)} | simple, of_simple
    found[TRANSFER], chosen[TRANSFER] = _transfer(parts, quality)
    more, also = read_outs(inputs.vectors, parts, discriminant, quality)
    ids = [id for rows in parts for id in rows.ids]
    vectors = {name: np.concatenate(x) for name, x in features.items() if name != LENGTH}
    vectors |= {name: read_statistics(folders, ids) for name, folders in inputs.vectors.items()}
    of_all_N = np.concatenate([rows.target_NT.argmax(axis=1) for rows in parts])
    clusters = [cluster for rows in parts for cluster in rows.clusters]
    same = {name: same_class(x_NF, of_all_N, clusters) for name, x_NF in vectors.items()}
    return Predicted(found | more, chosen | also, same)


def _read_off(
    features: dict[str, list[np.ndarray]], linear: Callable[[Sequence[np.ndarray]], tuple[list[np.ndarray], str]]
) -> tuple[Found, dict[str, str]]:
    """What a linear read-out makes of each, and what it chose on the validation split."""
    found: Found = {}
    chosen = {}
    for name, x in features.items():
        (one, other), chosen[f"{name}, {LINEAR}"] = linear(standardised(*x))
        found[f"{name}, {LINEAR}"] = (one, other)
    return found, chosen


def simple_features(proteins: Proteins, parts: list[Rows]) -> dict[str, list[np.ndarray]]:
    """Of the three splits: the length, the composition, and where structures are known that of states."""
    residues = [composition(rows.sequences) for rows in parts]
    found = {LENGTH: [x_NF[:, -1:] for x_NF in residues], COMPOSITION: residues}
    chains = {row.id: _chain(row) for row in proteins.rows}
    if any(chains.values()):
        log.info("assigning secondary structure")
        found[STATES] = [state_composition([chains[id] for id in rows.ids]) for rows in parts]
    return found


def _chain(row: TaskRow) -> Chain | None:
    found = row.observed
    return found and Chain(row.id, found.sequence, stored_backbone(found.backbone_cA), ())


def _frequencies(parts: list[Rows]) -> tuple[np.ndarray, np.ndarray]:
    """The same for every protein."""
    frequency_T = parts[0].target_NT.mean(axis=0, dtype=np.float64)
    return np.tile(frequency_T, (len(parts[1]), 1)), np.tile(frequency_T, (len(parts[2]), 1))


def _transfer(parts: list[Rows], quality: Callable[[np.ndarray], float]) -> tuple[tuple[np.ndarray, np.ndarray], str]:
    """The labels of the nearest training sequences."""
    import torch

    from protray.evaluation.tasks.properties.transfer import choose_transfer, training_hits

    train, validation, test = parts
    log.info("searching the nearest training proteins")
    hits = training_hits(validation.sequences + test.sequences, train.sequences, torch.get_num_threads())
    of_validation, of_test = hits[: len(validation)], hits[len(validation) :]
    best = choose_transfer(of_validation, train.target_NT, quality)
    return (best.predict(of_validation, train.target_NT), best.predict(of_test, train.target_NT)), str(best)
