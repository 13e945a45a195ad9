"""What jobs that train heads on frozen embeddings have in common: settings, stages, loop, models.

Light: `--help` needs no torch.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from protray.cluster.storage.identity import digest
from protray.cluster.train.job import Report, Stage, TrainingSettings
from protray.data.location import Location
from protray.models.head_config import HeadConfig, Kind
from protray.pipelines.tasks.embeddings import Embedding
from protray.plm.shipped import SHIPPED, absolute
from protray.training.tasks.head_steps import HeadFitConfig

if TYPE_CHECKING:
    import numpy as np

    from protray.training.tasks.heads import Examples
    from protray.training.world import World

NONE = "none"
WITH_LM, WITH_NET = "language model", "score net"
WITH_BOTH = f"{WITH_LM} + {WITH_NET}"
FOLDERS = {WITH_LM: "language-model", WITH_NET: "score-net", WITH_BOTH: "both"}  # below OUT/model
TRIED_ROWS = 512  # of a plan's trial


@dataclass(frozen=True, kw_only=True)
class HeadRun(TrainingSettings):
    """Which frozen embeddings a head is trained on, and how."""

    model: Location | None = None
    """The folder `model` of a finished jobs/score_net.py run: heads with its embeddings are trained, too."""
    noise: float = 1.0
    """Å: the score net is told its noise level nearest to this."""
    lm: str = SHIPPED
    """Language model: a Hugging Face name, a folder, or `none`."""
    net: HeadConfig = field(default_factory=HeadConfig)
    fit: HeadFitConfig = field(default_factory=HeadFitConfig)

    def check(self) -> None:
        super().check()
        self.fit.check_workers(self.workers)
        if not self.embeddings:
            raise ValueError("--lm none needs --model: without an embedding there is nothing to train")

    @property
    def embeddings(self) -> dict[str, Embedding]:
        """By their names."""
        found = {} if self.lm == NONE else {WITH_LM: Embedding(lm=self.lm)}
        return found | ({WITH_NET: Embedding(model=self.model, noise=self.noise)} if self.model else {})

    @property
    def rows(self) -> dict[str, list[str]]:
        """The heads that are trained, and which embeddings each reads."""
        found = {name: [name] for name in self.embeddings}
        return found | ({WITH_BOTH: [WITH_LM, WITH_NET]} if len(found) == 2 else {})


@dataclass(frozen=True)
class HeadInputs:
    """What the heads of a run read."""

    examples: Location  # ``schemas.EXAMPLES``
    vectors: dict[str, list[Location]]  # of each head: folders of embeddings, side by side


def head_identity(run: HeadRun) -> dict:
    """What a result depends on beside its data."""
    embeddings = {name: embedding.identity() for name, embedding in run.embeddings.items()}
    return {"net": asdict(run.net), "fit": asdict(run.fit), "embeddings": embeddings}


def head_stages(run: HeadRun, key: str, count: int, unit: str) -> list[Stage]:
    """A stage for each head; `count` rows train."""
    unit = f"steps of {run.fit.batch} of {count} {unit}, at most {run.fit.epochs} epochs"
    return [
        Stage(name, digest([key, name]), run.fit.steps(count), unit, params={"row": name, "net": asdict(run.net)})
        for name in run.rows
    ]


def head_settings(run: HeadRun, inputs: HeadInputs, kind: Kind) -> dict:
    return {
        "examples": inputs.examples, "vectors": inputs.vectors, "kind": kind, "net": run.net, "fit": run.fit
    }  # fmt: skip


def head_trial(run: HeadRun, kind: Kind, stage: Stage, outputs: int, width: int) -> dict:
    """Random numbers in place of an embedding of a width: a step takes as long whatever they say."""
    return {"trial": (width, outputs), "vectors": {stage.name: []}, "kind": kind, "net": run.net, "fit": run.fit}


def head_loop(settings: dict, report: Report, resume: dict | None, world: "World") -> None:
    """Train the heads one after another."""
    from protray.training.tasks.heads import fit_rows

    rows = {name: partial(_read, settings, folders) for name, folders in settings["vectors"].items()}
    fit_rows(rows, settings["net"], settings["kind"], settings["fit"], report, resume, world)


def _read(settings: dict, folders: Sequence[Location]) -> "tuple[Examples, Examples]":
    """Training and validation rows of a head."""
    import numpy as np

    from protray.data.tasks.examples import read_rows, read_vectors
    from protray.training.tasks.heads import Examples

    if "trial" in settings:
        width, outputs = settings["trial"]
        rng = np.random.default_rng(0)
        x_NC = rng.normal(size=(TRIED_ROWS, width)).astype(np.float32)
        some = Examples(x_NC, (rng.random((TRIED_ROWS, outputs)) < 0.1).astype(np.float32))
        return some, Examples(some.x_NC[: TRIED_ROWS // 8], some.y_NT[: TRIED_ROWS // 8])
    found = [read_rows(settings["examples"], split) for split in ("train", "validation")]
    train, validation = (Examples(read_vectors(folders, rows.ids), rows.target_NT) for rows in found)
    return train, validation


def head_note(metrics: dict) -> str:
    loss = metrics.get("validation/loss")
    return "" if loss is None else f"epoch {metrics['epoch']}, validation loss {loss:.4f}"


def head_step(state: dict) -> int:
    return state["fit"]["position"]["step"]


def head_show(run: HeadRun, facts: dict) -> None:
    print((run.out / "tables.md").read_bytes().decode())
    print(f"models  {run.out / 'model'}\nreport  {run.out / 'report.html'}\nMLflow  {facts['mlflow_ui']}")


def save_head_of(
    run: HeadRun, name: str, weights: dict, task: str, kind: Kind, labels: list[str], names: dict[str, str],
    threshold: float | None, target: Location | None = None,
) -> None:  # fmt: skip
    """Write a head with all that it reads, into ``OUT/model`` unless told: a score net is copied, a model named."""
    from protray.training.tasks.head_export import SCORE_NET, HeadFacts, save_head

    reads = run.rows[name]
    facts = HeadFacts(
        task=task, kind=kind, channels=len(weights["mean_C"]), labels=labels, names=names, threshold=threshold,
        lm=absolute(run.lm) if WITH_LM in reads else None, noise=run.noise if WITH_NET in reads else None,
    )  # fmt: skip
    with (target or run.out / "model" / FOLDERS[name]).writing() as folder:
        save_head(folder, run.net, facts, weights)
        if WITH_NET in reads:
            assert run.model is not None
            shutil.copytree(run.model.fetch(), folder / SCORE_NET)


def head_predictions(
    run: HeadRun, inputs: HeadInputs, state: dict, ids: Sequence[str], kind: Kind, gpu: bool
) -> "dict[str, np.ndarray]":
    """What each head, with its best weights, predicts for some rows."""
    from protray.data.tasks.examples import read_vectors
    from protray.models.head import Head
    from protray.training.tasks.heads import predict
    from protray.training.tasks.turns import finished

    found = {}
    for name, one in finished(state).items():
        weights = one["best"]
        net = Head(run.net, kind, len(weights["mean_C"]), len(weights["mean_T"]))
        net.load_state_dict(weights)
        found[name] = predict(net, read_vectors(inputs.vectors[name], ids), "cuda" if gpu else "cpu")
    return found
