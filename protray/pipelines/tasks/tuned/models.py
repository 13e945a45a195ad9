"""What is left of encoders that were trained on: predictions, models, and what it cost and gave.

``OUT/model/ROW``  the head, and what it goes with, the encoder in ``structure_model`` or the language model in
                   ``language_model``: jobs/annotate.py reads them
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from protray.data.location import Location
from protray.models.tasks.head_config import Kind
from protray.pipelines.tasks.embedding import Embedding
from protray.pipelines.tasks.tuned.settings import LINEAR, TunedInputs, TunedRun
from protray.plm.shipped import absolute

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from protray.data.tasks.examples import Rows
    from protray.models.tasks.tuned import Tuned


def tuned_predictions(
    run: TunedRun, inputs: TunedInputs | None, state: dict, rows: "Sequence[Rows]", kind: Kind, device: str
) -> "dict[str, list[np.ndarray]]":
    """What each encoder with its head, of the best epoch, predicts for the rows of some splits."""
    from protray.data.tasks.examples import read_statistics
    from protray.pipelines.tasks.tuned.examples import examples_of
    from protray.training.tasks.properties.fine_tune import predict
    from protray.training.tasks.turns import finished

    found = {}
    for name, one in finished(state).items():
        if name not in run.tuned or inputs is None:
            continue
        net, folders = loaded(run, name, one["best"], kind), inputs.vectors[run.tuned[name]]
        by = run.embeddings[run.tuned[name]]
        found[name] = [
            predict(net, examples_of(by, inputs, part, read_statistics(folders, part.ids)), device) for part in rows
        ]
    return found


def loaded(run: TunedRun, name: str, weights: dict, kind: Kind) -> "Tuned":
    """An encoder with its head as they were learnt."""
    from protray.pipelines.tasks.tuned.training import network

    sizes = len(weights["head.mean_C"]), len(weights["head.mean_T"])
    net = network(run.embeddings[run.tuned[name]], kind, *sizes, run.fine)
    net.load_state_dict(weights, strict=False)  # a language model that did not learn is in no state
    return net


def save_tuned(
    run: TunedRun, name: str, weights: dict, task: str, kind: Kind, labels: list[str], names: dict[str, str],
    threshold: float | None, side_chains: bool, target: Location | None = None,
) -> None:  # fmt: skip
    """Write a head with its encoder, for jobs/annotate.py, into ``OUT/model`` unless told."""
    from protray.training.tasks.folder import STRUCTURE_MODEL
    from protray.training.tasks.properties.head_export import (
        LANGUAGE_MODEL,
        MUTANTS,
        OF_MUTATIONS,
        HeadFacts,
        save_head,
    )

    embedding = run.embeddings[run.tuned[name]]
    parts = {part: weight for part, weight in weights.items() if part.startswith("head.")}
    encoder = {part.removeprefix("encoder."): weights[part] for part in weights.keys() - parts.keys()}
    head = {part.removeprefix("head."): weight for part, weight in parts.items()}
    facts = HeadFacts(
        task=task, kind=kind, channels=len(head["mean_C"]), labels=labels, names=names, threshold=threshold,
        lm=LANGUAGE_MODEL if embedding.lm else None, noise=None if embedding.lm else run.noise,
        reads="mean" if task in OF_MUTATIONS else "statistics", side_chains=side_chains, mutants=MUTANTS,
    )  # fmt: skip
    with (target or run.out / "model" / tuned_folder(name)).writing() as folder:
        save_head(folder, LINEAR, facts, head)
        if embedding.lm:
            save_lm(folder / LANGUAGE_MODEL, embedding.lm, encoder)
        else:
            save_joint(folder / STRUCTURE_MODEL, embedding, encoder)


def save_lm(folder: "Path", name: str, weights: dict) -> None:
    """Write a language model with what it has learnt, which may be nothing."""
    from protray.plm.sequence_encoder import SequenceEncoder

    lm = SequenceEncoder(absolute(name), trained=False)
    if weights:
        lm.load_state_dict({part.removeprefix("lm."): weight for part, weight in weights.items()})
    lm.save(folder)


def save_joint(folder: "Path", embedding: Embedding, weights: dict) -> None:
    """Write a joint encoder; a language model of its fusion that did not learn is as it was."""
    from protray.training.structure.ssdm_export import LANGUAGE_MODEL, save_ssdm

    card, _ = embedding.joint()
    if card.config.lm is not None and embedding.model:
        card = replace(card, config=replace(card.config, lm=str(embedding.model.fetch() / LANGUAGE_MODEL)))
    save_ssdm(folder, card, {f"model.{part}": weight for part, weight in weights.items()})


def tuned_folder(name: str) -> str:
    """Where a row is kept, below ``OUT/model``.

    >>> tuned_folder("joint encoder few, fine-tuned")
    'joint-encoder-few-fine-tuned'
    """
    return name.replace(",", "").replace(" ", "-")


def tuned_table(
    run: TunedRun, trained: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[tuple[str, list[str], list[list[str]]]]]:
    """What training on cost and gave, as rows and as a table; none of either where nothing was trained on."""
    rows = []
    for name in run.tuned:
        position, weights = trained[name]["position"], trained[name]["best"]
        first, best = position["history"][0], position["history"][position["best_epoch"]]
        fixed = ("mean_C", "scale_C", "mean_T", "scale_T")
        rows.append({
            "method": name, "parameters": sum(w.numel() for n, w in weights.items() if not n.endswith(fixed)),
            "minutes": trained[name]["clock"]["seconds"] / 60, "best_epoch": position["best_epoch"],
            "before": first["validation/quality"], "after": best["validation/quality"],
        })  # fmt: skip
    told = "higher is better; errors are negative"
    header = ["fine-tuning", "weights", "minutes", "best epoch", f"validation before ({told})", "validation after"]
    body = [
        [row["method"], f"{row['parameters']:,}", f"{row['minutes']:.1f}", str(row["best_epoch"]),
         f"{row['before']:.3f}", f"{row['after']:.3f}"]
        for row in rows
    ]  # fmt: skip
    return rows, [(header[0], header, body)] if rows else []
