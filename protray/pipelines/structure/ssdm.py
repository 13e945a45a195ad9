"""Pre-training of SSDM's joint encoder: training, model folder, what it learnt, report.

``OUT/model``          the encoder for jobs/embed.py and the tasks
``OUT/untrained``      the same before its training: what it has to beat
``OUT/report.html``    curves, losses by noise level, retrieval, structures before and after denoising
``OUT/metrics.json``   all numbers of it
"""

import logging
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from protray.cluster.storage.identity import content_digest, dataset_digest, digest
from protray.cluster.train.job import Context, Report, Stage, TrainingJob, TrainingSettings
from protray.data.location import Location
from protray.models.joint.shipped import ENCODER
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import MEDIUM, PAPER
from protray.plm.shipped import SHIPPED, absolute, fingerprint
from protray.seq.errors import first_of
from protray.training.structure.ssdm_config import ObjectiveConfig, SsdmFitConfig

if TYPE_CHECKING:
    from torch import Tensor

    from protray.data.structure.atoms import AtomStructures
    from protray.inference.ssdm_results import SsdmResults
    from protray.training.world import World

log = logging.getLogger(__name__)

# GearNet's and SiamDiff's sizes of a step on four GPUs are those of the whole step here
MEDIUM_FIT = SsdmFitConfig(batch=96, micro_batch=24, crop=150, learning_rate=5e-4, epochs=20.0, bf16=True)
PAPER_FIT = SsdmFitConfig(
    batch=384,
    micro_batch=24,
    crop=100,
    learning_rate=2e-4,
    weight_decay=0.0,
    warmup=0,
    constant=True,
    epochs=50.0,
    bf16=True,
)
TRIAL_STEPS = 10  # between two points of the curve, when a plan times the loop


@dataclass(frozen=True, kw_only=True)
class SsdmRun(TrainingSettings):
    """What to train on, for what, and where to write."""

    data: Location | None = None
    """Folder written by jobs/prepare_structures.py; default: the bundled sample of real PDB chains."""
    encoder: Location | None = None
    """The folder `model` of a finished run without a fusion, or `shipped`: its encoder learns on, in the shape that it
    has, alone or in a fusion.  Default: random weights."""
    labels: Location | None = None
    """A table (CSV, Parquet) of id and cath, for the retrieval in the report; the sample has its own."""
    out: Location = Location("runs/ssdm")
    """Folder to write to (on several nodes one that all of them share), or an s3:// or gs:// address."""
    model: Literal["small", "medium", "paper"] = "small"
    """small: minutes on two CPU cores.  medium: an hour on a GPU.  paper: 20 M weights, 50 epochs.  Chooses the
    defaults below."""
    joint: Annotated[SsdmConfig, tyro.conf.arg(name="")] = field(default_factory=SsdmConfig)
    learn: Annotated[ObjectiveConfig, tyro.conf.arg(name="")] = field(default_factory=ObjectiveConfig)
    fit: SsdmFitConfig = field(default_factory=SsdmFitConfig)

    @classmethod
    def preset(cls, model: str = "small") -> "SsdmRun":
        """The settings of a model, from which single ones may then depart."""
        if model == "small":
            return cls()
        if model == "medium":
            return cls(model="medium", joint=SsdmConfig(net=MEDIUM), fit=MEDIUM_FIT)
        return cls(model="paper", joint=SsdmConfig(net=PAPER), fit=PAPER_FIT)

    def check(self) -> None:
        """Better an error now than after the start of the workers."""
        from protray.plm.hub.folder import check_present

        super().check()
        self.fit.check_workers(self.workers)
        for split in ("train", "validation"):
            chains, least = read_split(self, split), self.learn.shortest_chain()
            if short := int((chains.lengths < least).sum()):
                told = "%d of %d chains of the %s split have fewer than %d residues, and are left out"
                log.warning(told, short, len(chains), split, least)
        if self.labels:
            check_labels(self.labels, self.data)
        if self.joint.lm is not None:
            check_present(self.joint.lm)
        joint_of(self)
        first_weights(self)


def joint_of(run: SsdmRun) -> SsdmConfig:
    """What is trained: in the shape of the run's encoder, where it begins with one.

    Raises ValueError if `encoder` holds none of ours by itself, or the run asks for another shape.
    """
    joint = replace(run.joint, lm=absolute(run.joint.lm)) if run.joint.lm else run.joint
    if run.encoder is None:
        return joint
    from protray.training.structure.ssdm_export import load_card

    config = load_card(folder_of(run.encoder)).config
    if not isinstance(config, SsdmConfig) or config.fusion != "none":
        raise ValueError(f"--encoder {run.encoder} is no encoder by itself (--fusion none) of jobs/ssdm.py")
    if run.joint.net not in (SsdmRun.preset(run.model).joint.net, config.net):
        raise ValueError(f"--encoder {run.encoder} brings its own shape; leave --net out")
    return replace(joint, net=config.net)


def first_weights(run: SsdmRun) -> "dict[str, Tensor] | None":
    """Those that its structure encoder begins with; None where they are random."""
    if run.encoder is None:
        return None
    from protray.training.structure.ssdm_export import load_ssdm

    return load_ssdm(folder_of(run.encoder))[1].encoder.state_dict()


def folder_of(encoder: Location) -> Location:
    """Where an encoder lies."""
    return Location(ENCODER) if str(encoder) == str(Location(SHIPPED)) else encoder


def check_labels(labels: Location, data: Location | None) -> None:
    """ValueError if they are no CATH codes, or of other chains."""
    from protray.data.structure.atoms import read_atoms
    from protray.inference.nearest_folds import folds

    known = folds(data, labels)
    if not known.keys() & set(read_atoms(data).ids):
        told = f"none of {len(known)} labelled ids of {labels} is in {data or 'the bundled sample'}"
        raise ValueError(f"{told}: {first_of(sorted(known))}")


def identity(run: SsdmRun) -> dict:
    found = {
        "digest of the data": data_digest(run),
        "labels": content_digest([run.labels]) if run.labels else None,
        "joint": asdict(joint_of(run)) | {"lm": fingerprint(run.joint.lm) if run.joint.lm else None},
        "learn": asdict(run.learn),
        "fit": {name: value for name, value in asdict(run.fit).items() if (name, value) != ("bf16", False)},
    }  # a setting that came later is left out where it changes nothing: older folders stay what they are
    return found | {"encoder": fingerprint(str(folder_of(run.encoder).fetch()))} if run.encoder else found


def data_digest(run: Any) -> str:
    """Of the dataset in `run.data`, or of the sample with its chains that have side chains."""
    if run.data:
        return dataset_digest(run.data)
    from protray.data.sample import FULL_ATOM, SAMPLE

    return content_digest([Location(SAMPLE), Location(FULL_ATOM)])


def read_split(run: SsdmRun, split: str) -> "AtomStructures":
    """The chains of a split; ValueError if none of them is long enough to train on."""
    from protray.data.structure.atoms import read_atoms

    chains, least = read_atoms(run.data, split), run.learn.shortest_chain()
    if not (chains.lengths >= least).any():
        raise ValueError(f"none of {len(chains)} chains of the {split} split has the {least} residues that are needed")
    return chains


def stages(run: SsdmRun, inputs: None) -> list[Stage]:
    key = digest({name: value for name, value in identity(run).items() if name != "labels"})
    return [Stage(JOB.name, key, total_steps(run), f"steps of {run.fit.batch} crops")]


def total_steps(run: SsdmRun) -> int:
    return run.fit.steps(int((read_split(run, "train").lengths >= run.learn.shortest_chain()).sum()))


def settings(run: SsdmRun, inputs: None) -> dict:
    return {"run": replace(run, joint=joint_of(run)), "encoder": first_weights(run), "share": 1.0}


def trial(run: SsdmRun, stage: Stage) -> dict:
    """A point of the curve after few steps, with as much less of the validation."""
    few = max(1, min(TRIAL_STEPS, run.fit.validate_every))
    short = replace(run, fit=replace(run.fit, validate_every=few))
    return settings(short, None) | {"share": few / run.fit.validate_every}


def loop(settings: dict, report: Report, resume: dict | None, world: "World") -> None:
    """Train; `share` is the part of validation that is computed at each point of the curve."""
    from protray.training.structure.ssdm import fit, validation_batches

    run: SsdmRun = settings["run"]
    chains, others = (read_split(run, split) for split in ("train", "validation"))
    total = total_steps(run)
    validation = validation_batches(others, run.learn, run.fit, run.joint.net.neighbours)
    validation = validation[: max(1, round(settings["share"] * len(validation)))]
    fit(run.joint, run.learn, run.fit, total, chains, validation, report, resume, world, settings["encoder"])


def note(metrics: dict) -> str:
    loss = metrics.get("validation/loss")
    return "" if loss is None else f"validation loss {loss:.3f}"


def finish(run: SsdmRun, inputs: None, state: dict, context: Context) -> dict:
    """Write the model, what it learnt, and the report."""
    from protray.cluster.train.driver import in_task, track_history
    from protray.plots.structure.ssdm_report import write_ssdm_report
    from protray.training.structure.ssdm import fresh
    from protray.training.structure.ssdm_export import SsdmCard, save_ssdm

    position = state["position"]
    joint = joint_of(run)
    side_chains = read_split(run, "train").has_side_chains
    card = SsdmCard(joint, side_chains, run.learn.objective, run.fit.seed)
    before = fresh(joint, run.learn, run.fit.seed, first_weights(run)).learnt()
    for name, weights in (("untrained", before), ("model", state["best"])):
        with (run.out / name).writing() as folder:
            save_ssdm(folder, card, weights)
    track_history(context, context.run_id, position["history"])
    log.info("what the encoder learnt, on held-out chains")
    results: SsdmResults = in_task(context, JOB.name, measured, replace(run, joint=joint))
    context.tracker.log(context.run_id, results.metrics(), step=position["step"])
    facts = {name: str(value) for name, value in ({"data": run.data or "the bundled sample"} | identity(run)).items()}
    with (run.out / "report.html").writing() as report:
        write_ssdm_report(report, position["history"], run.learn, results, facts)
    context.tracker.artifact(context.run_id, run.out / "report.html")
    context.tracker.artifact(context.run_id, run.out / "model", "model")
    return {
        "best_step": position["best_step"], "steps": position["step"], "history": position["history"],
        "side_chains": side_chains, "results": results.rows(),
    }  # fmt: skip


def measured(run: SsdmRun, device: str) -> "SsdmResults":
    """Ray task: what the encoder learnt, on the test split where there is one."""
    from protray.inference.ssdm_results import measure

    return measure(run.out / "model", run.out / "untrained", run.data, run.labels, run.learn, run.fit, device)


def show(run: SsdmRun, facts: dict) -> None:
    """Say how good the encoder is, and where it lies."""
    print(f"validation, best at step {facts['best_step']} of {facts['steps']}")
    for row in facts["results"]:
        print(f"  {row['what']:<44} {row['text']}")
    print(f"model   {run.out / 'model'}\nreport  {run.out / 'report.html'}\nMLflow  {facts['mlflow_ui']}")


JOB = TrainingJob(
    name="ssdm", seed=lambda run: run.fit.seed, digest=data_digest, identity=identity, stages=stages,
    settings=settings, loop=loop, finish=finish, show=show, note=note, trial=trial,
    step_of=lambda state: state["position"]["step"],
)  # fmt: skip
