"""The trainings of encoders, and of language models, with a linear head that starts as the linear read-out."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from protray.cluster.train.job import Report
from protray.data.location import Location
from protray.models.tasks.head_config import Kind
from protray.pipelines.tasks.embedding import Embedding
from protray.pipelines.tasks.tuned.settings import LINEAR, TunedInputs, TunedSettings
from protray.plm.shipped import absolute
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig

if TYPE_CHECKING:
    import numpy as np

    from protray.evaluation.tasks.properties.closed_form import Linear
    from protray.models.tasks.head import Head
    from protray.models.tasks.tuned import Tuned
    from protray.training.tasks.properties.fine_tune_examples import Examples
    from protray.training.tasks.turns import Train
    from protray.training.world import World

TRIED_BATCHES = 2  # of a plan's trial; and a sixth as many validation proteins


def tuned_trainings(settings: TunedSettings | None, world: "World") -> "dict[str, Train]":
    """The training of each encoder; it reads what it needs when its turn comes."""
    if settings is None:
        return {}
    return {name: partial(_train, settings, *row, world) for name, row in settings.rows.items()}


def _train(
    settings: TunedSettings, embedding: Embedding, folders: Sequence[Location], world: "World", report: Report,
    resume: dict | None,
) -> dict:  # fmt: skip
    from protray.evaluation.tasks.properties.closed_form import quality
    from protray.training.tasks.properties.fine_tune import fit

    kind = settings.kind
    if settings.inputs:
        net, train, validation = started(embedding, folders, settings.inputs, kind, settings.fine)
    else:
        train, validation = _tried(settings)
        channels = 2 * embedding.width + (0 if settings.mutations else 1)
        net = network(embedding, kind, channels, settings.tried, settings.fine)
    return fit(
        net, train, validation, settings.fine, lambda found_NT: quality(kind, found_NT, validation.y_NT), report,
        resume, world,
    )  # fmt: skip


def started(
    embedding: Embedding, folders: Sequence[Location], inputs: TunedInputs, kind: Kind, fine: FineTuneConfig
) -> "tuple[Tuned, Examples, Examples]":
    """An encoder whose head is the linear read-out of its frozen vectors; and what both are trained on."""
    from protray.data.tasks.examples import read_rows, read_statistics
    from protray.evaluation.tasks.properties.closed_form import closed_form
    from protray.pipelines.tasks.tuned.examples import examples_of

    parts = [read_rows(inputs.examples, split) for split in ("train", "validation")]
    x = [read_statistics(folders, rows.ids) for rows in parts]
    train, validation = (examples_of(embedding, inputs, rows, x_NF) for rows, x_NF in zip(parts, x, strict=True))
    net = network(embedding, kind, x[0].shape[1], train.y_NT.shape[1], fine)
    begin(net.head, closed_form(kind, x[0], train.y_NT, x[1], validation.y_NT), train.y_NT)
    return net, train, validation


def network(embedding: Embedding, kind: Kind, channels: int, outputs: int, fine: FineTuneConfig) -> "Tuned":
    """An encoder with a head that knows nothing yet."""
    from protray.models.joint.alone import Alone
    from protray.models.structure.frame_attention import FrameAttention
    from protray.models.tasks.head import Head
    from protray.models.tasks.tuned import Tuned
    from protray.plm.sequence_encoder import SequenceEncoder

    head = Head(LINEAR, kind, channels, outputs)
    if embedding.lm:
        lm = SequenceEncoder(absolute(embedding.lm), trained=True)
        return Tuned(Alone(lm, lm.channels), head, side_chains=False, lm_lr_ratio=fine.lm_lr_ratio)
    card, encoder = embedding.joint()
    if isinstance(encoder.encoder, FrameAttention) and fine.dropout is not None:
        encoder.encoder.config = replace(encoder.encoder.config, dropout=fine.dropout)
    ratio = 0.0 if encoder.lm is None else fine.lm_lr_ratio
    return Tuned(encoder, head, side_chains=card.side_chains, lm_lr_ratio=ratio)


def begin(head: "Head", linear: "Linear", y_NT: "np.ndarray") -> None:
    """Make a head say what a linear read-out says; numbers in units of their deviation `y_NT` in training."""
    import torch

    def tensor(array: Any) -> torch.Tensor:
        return torch.from_numpy(array).float()

    last = head.layers[-1]
    assert isinstance(last, torch.nn.Linear)
    weight_FT, bias_T = linear.weight_FT, linear.bias_T
    if head.kind == "value":
        mean_T, scale_T = y_NT.mean(axis=0, dtype=float), y_NT.std(axis=0, dtype=float).clip(1e-6)
        head.mean_T.copy_(tensor(mean_T))
        head.scale_T.copy_(tensor(scale_T))
        weight_FT, bias_T = weight_FT / scale_T, (bias_T - mean_T) / scale_T
    with torch.no_grad():
        head.mean_C.copy_(tensor(linear.mean_F))
        head.scale_C.copy_(tensor(linear.scale_F))
        last.weight.copy_(tensor(weight_FT.T))
        last.bias.copy_(tensor(bias_T))


def _tried(settings: TunedSettings) -> "tuple[Examples, Examples]":
    """Chains of the sample, or mutations in them, with labels that mean nothing."""
    import numpy as np

    from protray.data.structure.atoms import read_atoms
    from protray.data.tasks.mutations import Surroundings
    from protray.inference.tasks.mutants import NEAREST
    from protray.training.tasks.properties.fine_tune_examples import MutantExamples, StructureExamples

    count = TRIED_BATCHES * settings.fine.batch
    chains = read_atoms(split="train").select(range(count + max(1, count // 6)))
    y_NT = np.zeros((len(chains), settings.tried), np.float32)
    y_NT[np.arange(len(chains)), np.arange(len(chains)) % settings.tried] = 1
    row_N = np.arange(len(chains))
    parts = slice(count), slice(count, None)
    if settings.mutations:
        seen = [chains.chain(n).cut(slice(NEAREST)) for n in range(len(chains))]
        pairs = [Surroundings(chain, chain, [0]) for chain in seen]
        train, validation = (MutantExamples(chains.ids[p], pairs[p], y_NT[p]) for p in parts)
    else:
        train, validation = (StructureExamples(chains, row_N[p], y_NT[p]) for p in parts)
    return train, validation
