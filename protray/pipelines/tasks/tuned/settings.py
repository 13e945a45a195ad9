"""What rows of encoders that are trained on are given: settings, stages, and what the loop gets.  Light: no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from protray.cluster.storage.identity import digest
from protray.cluster.train.job import Stage
from protray.data.location import Location
from protray.models.tasks.head_config import HeadConfig, Kind
from protray.pipelines.tasks.embedding import Embedding
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig

LINEAR = HeadConfig(hidden=0, dropout=0.0)


class TunedRun(Protocol):
    """The settings of a job that has such rows."""

    @property
    def out(self) -> Location: ...
    @property
    def noise(self) -> float: ...
    @property
    def fine(self) -> FineTuneConfig: ...
    @property
    def embeddings(self) -> Mapping[str, Embedding]: ...
    @property
    def tuned(self) -> Mapping[str, str]:
        """Rows, and which of the embeddings those were before."""
        ...


@dataclass(frozen=True)
class TunedInputs:
    """What encoders are trained on with."""

    examples: Location  # ``schemas.EXAMPLES``
    vectors: Mapping[str, Sequence[Location]]  # of each embedding: its folder, with all that a linear read-out reads
    structures: Location | None = None  # id, sequence, and what there is of `tables.STRUCTURE`
    mutants: Location | None = None  # in place of those: `protray.pipelines.tasks.properties.mutants.STORED`


@dataclass(frozen=True)
class TunedSettings:
    """What the loop is given, on any node."""

    rows: Mapping[str, tuple[Embedding, Sequence[Location]]]  # what learns, and folders of its frozen vectors
    kind: Kind
    fine: FineTuneConfig
    inputs: TunedInputs | None = None
    tried: int = 0  # outputs of a plan's trial, on chains of the sample
    mutations: bool = False  # whether that is of mutations


def tuned_stages(run: TunedRun, key: str, count: int, unit: str) -> list[Stage]:
    """A stage for each encoder; `count` rows train."""
    unit = f"steps of {run.fine.batch} of {count} {unit}, {run.fine.epochs} epochs"
    return [
        Stage(name, digest([key, name]), run.fine.steps(count), unit, params={"row": name}) for name in run.tuned
    ]  # fmt: skip


def tuned_settings(run: TunedRun, inputs: TunedInputs | None, kind: Kind) -> TunedSettings | None:
    """None where nothing is trained on."""
    if inputs is None:
        return None
    rows = {name: (run.embeddings[net], inputs.vectors[net]) for name, net in run.tuned.items()}
    return TunedSettings(rows, kind, run.fine, inputs)


def tuned_trial(run: TunedRun, kind: Kind, stage: Stage, outputs: int, mutations: bool = False) -> TunedSettings:
    """Chains of the sample, or mutations in them, in place of the task's, and a head that knows nothing."""
    rows = {stage.name: (run.embeddings[run.tuned[stage.name]], [])}
    return TunedSettings(rows, kind, run.fine, tried=outputs, mutations=mutations)
