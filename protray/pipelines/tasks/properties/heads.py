"""What jobs that train heads on embeddings have in common: settings, stages, loop, models.

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
from protray.evaluation.tasks.properties.read_outs import TUNED
from protray.models.joint.ssdm_config import EncoderKind, FusionKind
from protray.models.tasks.head_config import HeadConfig, Kind
from protray.pipelines.tasks.embedding import Embedding, by_name, models_of, random_by_name
from protray.pipelines.tasks.embeddings import has_side_chains
from protray.pipelines.tasks.tuned.settings import TunedInputs
from protray.pipelines.tasks.tuned.training import tuned_trainings
from protray.plm.shipped import NO_LM, SHIPPED, absolute
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig
from protray.training.tasks.properties.head_steps import HeadFitConfig

if TYPE_CHECKING:
    import numpy as np

    from protray.training.tasks.properties.heads import Examples
    from protray.training.world import World

WITH_LM = Embedding(lm=SHIPPED).kind
TRIED_ROWS = 512  # of a plan's trial


@dataclass(frozen=True, kw_only=True)
class HeadRun(TrainingSettings):
    """Which frozen embeddings a head is trained on, and how."""

    model: tuple[Location, ...] | None = None
    """Folders `model` of finished jobs/score_net.py or jobs/ssdm.py runs: what each of them says of the structures is
    judged, too.  Several are told apart by the names of their runs' folders, and compared with the first.  Default: the
    joint encoder in the package, where rows have structures; `--model` with nothing behind it is none."""
    noise: float = 1.0
    """Å: the score net is told its noise level nearest to this."""
    lm: str = SHIPPED
    """Language model: a Hugging Face name, a folder, or `none`."""
    random: tuple[EncoderKind, ...] = ()
    """Encoders of structures with random weights, which are judged, too: frame attention (ours), GVP, CDConv."""
    random_fusion: tuple[FusionKind, ...] = ("none",)
    """Each of --random by itself (none), or fused with the language model: a row for each."""
    fine_tune: bool = False
    """Train each joint encoder of --model and --random on together with a linear head: a row more for each; and the
    language model, where it is not about mutations."""
    fine: FineTuneConfig = field(default_factory=FineTuneConfig)
    net: HeadConfig = field(default_factory=HeadConfig)
    fit: HeadFitConfig = field(default_factory=HeadFitConfig)

    def check(self) -> None:
        super().check()
        self.fit.check_workers(self.workers)
        if not self.embeddings:
            raise ValueError("no embedding is left: give --lm, or --model and rows with structures")
        if self.nets and not self.structured:
            raise ValueError("no row has a structure, which models of structures read: leave --model and --random out")
        if self.random and not self.random_fusion:
            raise ValueError("--random-fusion has nothing behind it; give none, serial, parallel or cross")
        if set(self.random_fusion) - {"none"} and (self.lm == NO_LM or not self.random):
            raise ValueError("--random-fusion goes with --random and a language model, --lm")
        if self.fine_tune:
            self.fine.check_workers(self.workers)
            if not self.tuned:
                raise ValueError(f"--fine-tune has nothing to train on: {self.can_learn}")

    @property
    def can_learn(self) -> str:
        """What `--fine-tune` asks for."""
        return "give a joint encoder of jobs/ssdm.py to --model, or --random, or a language model to --lm"

    @property
    def structured(self) -> bool:
        """Whether rows have structures."""
        raise NotImplementedError

    @property
    def nets(self) -> dict[str, Embedding]:
        """Of structures, by the names of their rows."""
        models = models_of(self.model, lambda: self.structured)
        lm = None if self.lm == NO_LM else self.lm
        return by_name(models, self.noise) | random_by_name(self.random, self.fine.seed, self.random_fusion, lm)

    @property
    def embeddings(self) -> dict[str, Embedding]:
        """By their names."""
        return ({} if self.lm == NO_LM else {WITH_LM: Embedding(lm=self.lm)}) | self.nets

    @property
    def rows(self) -> dict[str, list[str]]:
        """What is read out, and which embeddings it is; a head is trained on each."""
        found = {name: [name] for name in self.embeddings}
        beside = [net for net, one in self.nets.items() if self.lm != NO_LM and one.model]
        return found | {f"{WITH_LM} + {net}": [WITH_LM, net] for net in beside}

    @property
    def tuned(self) -> dict[str, str]:
        """Rows of encoders that are trained on, and which embeddings those were before."""
        learns = [name for name, one in self.embeddings.items() if self.fine_tune and (one.lm or one.is_joint)]
        return {f"{name}, {TUNED}": name for name in learns}

    @property
    def first(self) -> str | None:
        """What the others are compared with: the first of several `model`, or the language model beside one."""
        if len(self.nets) > 1:
            return next(iter(self.nets))
        return WITH_LM if len(self.rows) > 1 else None


@dataclass(frozen=True)
class HeadInputs:
    """What the heads of a run read."""

    examples: Location  # ``schemas.EXAMPLES``
    vectors: dict[str, list[Location]]  # of each head: folders of embeddings, side by side
    structures: Location | None = None  # ``schemas.STRUCTURES``, of proteins as a whole
    mutants: Location | None = None  # `protray.pipelines.tasks.properties.mutants.STORED`, in place of proteins

    @property
    def side_chains(self) -> bool:
        """Whether there are any."""
        return has_side_chains(self.mutants or self.structures)

    @property
    def of_tuned(self) -> TunedInputs:
        """What encoders are trained on with."""
        return TunedInputs(self.examples, self.vectors, self.structures, self.mutants)


def head_identity(run: HeadRun) -> dict:
    """What a result depends on beside its data."""
    embeddings = {name: embedding.identity() for name, embedding in run.embeddings.items()}
    found = {"net": asdict(run.net), "fit": asdict(run.fit), "embeddings": embeddings}
    return found | {"fine": run.fine.identity()} if run.fine_tune else found


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
    """Train the heads on frozen embeddings one after another, then encoders with heads."""
    from protray.training.tasks.properties.heads import row_trainings
    from protray.training.tasks.turns import in_turn

    rows = {name: partial(_read, settings, folders) for name, folders in settings["vectors"].items()}
    trainings = row_trainings(rows, settings["net"], settings["kind"], settings["fit"], world)
    in_turn(trainings | tuned_trainings(settings.get("tuned"), world), report, resume)


def _read(settings: dict, folders: Sequence[Location]) -> "tuple[Examples, Examples]":
    """Training and validation rows of a head."""
    import numpy as np

    from protray.data.tasks.examples import read_rows, read_vectors
    from protray.training.tasks.properties.heads import Examples

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
    threshold: float | None, side_chains: bool, target: Location | None = None,
) -> None:  # fmt: skip
    """Write a head with all that it reads, into ``OUT/model`` unless told: a score net is copied, a model named."""
    from protray.training.structure.ssdm_export import save_ssdm
    from protray.training.tasks.folder import STRUCTURE_MODEL
    from protray.training.tasks.properties.head_export import MUTANTS, HeadFacts, save_head

    reads = [run.embeddings[part] for part in run.rows[name]]
    net = next((one for one in reads if one.of_structures), None)
    facts = HeadFacts(
        task=task, kind=kind, channels=len(weights["mean_C"]), labels=labels, names=names, threshold=threshold,
        lm=next((absolute(one.lm) for one in reads if one.lm), None), noise=run.noise if net else None,
        side_chains=side_chains, mutants=MUTANTS,
    )  # fmt: skip
    with (target or run.out / "model" / folder_of(run, name)).writing() as folder:
        save_head(folder, run.net, facts, weights)
        if net and net.model:
            shutil.copytree(net.model.fetch(), folder / STRUCTURE_MODEL)
        elif net:
            card, encoder = net.joint()
            save_ssdm(folder / STRUCTURE_MODEL, card, {f"model.{n}": w for n, w in encoder.state_dict().items()})


def folder_of(run: HeadRun, name: str) -> str:
    """Where a head is kept, below ``OUT/model``.

    >>> models = (Location("runs/few/model"), Location("runs/all/model"))
    >>> run = HeadRun(out=Location("runs/ec"), model=models)
    >>> [folder_of(run, name) for name in run.rows][::2]
    ['language-model', 'score-net-all', 'both-score-net-all']
    """
    if len(run.rows[name]) == 2:
        return "both" if len(run.model or [None]) == 1 else f"both-{folder_of(run, run.rows[name][1])}"
    return name.replace(" ", "-")


def head_predictions(
    run: HeadRun, inputs: HeadInputs, state: dict, ids: Sequence[str], kind: Kind, device: str
) -> "dict[str, np.ndarray]":
    """What each head, with its best weights, predicts for some rows."""
    from protray.data.tasks.examples import read_vectors
    from protray.models.tasks.head import Head
    from protray.training.tasks.properties.heads import predict
    from protray.training.tasks.turns import finished

    found = {}
    for name, one in finished(state).items():
        if name not in run.rows:
            continue
        weights = one["best"]
        net = Head(run.net, kind, len(weights["mean_C"]), len(weights["mean_T"]))
        net.load_state_dict(weights)
        found[name] = predict(net, read_vectors(inputs.vectors[name], ids), device)
    return found
