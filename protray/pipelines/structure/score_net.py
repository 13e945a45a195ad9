"""Pre-training of the score network on structures: training, model folder, denoising gain, report.

``OUT/model``          the network for jobs/embed.py
``OUT/report.html``    curves, denoising gain, distance maps
``OUT/metrics.json``   all numbers of it
"""

import logging
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from protray.cluster.storage.identity import dataset_digest, digest
from protray.cluster.train.job import Context, Report, Stage, TrainingJob, TrainingSettings
from protray.data.location import Location
from protray.evaluation.cells import with_interval
from protray.evaluation.denoising import DenoisingConfig, choose
from protray.models.score.score_config import ScoreNetConfig
from protray.training.structure.score_steps import MIN_RESIDUES, ScoreFitConfig, trainable

if TYPE_CHECKING:
    from protray.data.structure.structures import Structures
    from protray.evaluation.denoising import DenoisingResults
    from protray.plots.structure.score_report import Split
    from protray.training.world import World

log = logging.getLogger(__name__)

# Guo et al., AAAI 2022, section 4; noise, crop, batch and positional encoding are ours, too
PAPER_NET = ScoreNetConfig(blocks=32, channels=64, bottleneck=32, distances=0)
PAPER_FIT = ScoreFitConfig(epochs=50, learning_rate=1e-4, warmup=0, constant=True, ema=0.0, split=0.0)
TRIAL_STEPS = 20  # between two points of the curve, when a plan times the loop


@dataclass(frozen=True, kw_only=True)
class ScoreNetRun(TrainingSettings):
    """What to train on, and where to write."""

    data: Location | None = None
    """Folder written by jobs/prepare_structures.py; default: the bundled sample of real PDB chains."""
    out: Location = Location("runs/score_net")
    """Folder to write to (on several nodes one that all of them share), or an s3:// or gs:// address."""
    model: Literal["small", "paper"] = "small"
    """small: minutes on two CPU cores.  paper: 32 blocks, Adam 1e-4, 50 epochs.  Chooses the defaults below."""
    net: ScoreNetConfig = field(default_factory=ScoreNetConfig)
    fit: ScoreFitConfig = field(default_factory=ScoreFitConfig)
    denoising: DenoisingConfig = field(default_factory=DenoisingConfig)

    @classmethod
    def preset(cls, model: str = "small") -> "ScoreNetRun":
        """The settings of a model, from which single ones may then depart."""
        return cls(model="paper", net=PAPER_NET, fit=PAPER_FIT) if model == "paper" else cls()

    def check(self) -> None:
        super().check()
        self.fit.check_workers(self.workers)


def identity(run: ScoreNetRun) -> dict:
    read_split(run.data, "train")  # better an error now than after the start of the workers
    read_split(run.data, "validation")
    choose(held_out(run.data)[1], run.denoising)
    return {
        "digest of the data": dataset_digest(run.data),
        "net": asdict(run.net),
        "fit": asdict(run.fit),
        "denoising": asdict(run.denoising),
    }


def read_split(data: Location | None, split: str) -> "Structures":
    """The chains of a split; ValueError if none of them is long enough to train on."""
    from protray.data.structure.structures import read_structures

    chains = read_structures(data, split)
    if not len(trainable(chains.lengths)):
        raise ValueError(
            f"none of {len(chains)} chains of the {split} split of {data or 'the sample'} has {MIN_RESIDUES} residues"
        )
    return chains


def held_out(data: Location | None) -> "tuple[Split, Structures]":
    """The test split; where a dataset has none, the validation split, which also picked the best weights."""
    from protray.data.structure.structures import read_structures

    try:
        return "test", read_structures(data, "test")
    except ValueError as error:
        log.warning("%s: the denoising gain is measured on the validation split", error)
        return "validation", read_structures(data, "validation")


def stages(run: ScoreNetRun, inputs: None) -> list[Stage]:
    steps = run.fit.steps(len(trainable(read_split(run.data, "train").lengths)))
    key = digest({name: value for name, value in identity(run).items() if name != "denoising"})
    return [Stage(JOB.name, key, steps, f"steps of {run.fit.batch} crops")]


def settings(run: ScoreNetRun, inputs: None) -> dict:
    return {"net": run.net, "fit": run.fit, "data": run.data, "share": 1.0}


def trial(run: ScoreNetRun, stage: Stage) -> dict:
    """A point of the curve after few steps, with as much less of the validation."""
    few = max(1, min(TRIAL_STEPS, run.fit.validate_every))
    return settings(run, None) | {
        "fit": replace(run.fit, validate_every=few), "share": few / run.fit.validate_every
    }  # fmt: skip


def loop(settings: dict, report: Report, resume: dict | None, world: "World") -> None:
    """Train; `share` is the part of validation and calibration that is computed at each point of the curve."""
    from protray.training.structure.score_net import fit
    from protray.training.structure.score_steps import calibration_batches, steps, validation_batches

    net, config, share = settings["net"], settings["fit"], settings["share"]
    chains, others = (read_split(settings["data"], split) for split in ("train", "validation"))
    total = config.steps(len(trainable(chains.lengths)))
    calibration, validation = (
        calibration_batches(chains, config, net.noise),
        validation_batches(others, config, net.noise),
    )
    fit(
        net, config, total,
        lambda step: steps(chains, config, net.noise, step, world.rank, world.size),
        calibration[: max(1, round(share * len(calibration)))], validation[: max(1, round(share * len(validation)))],
        report, resume, world,
    )  # fmt: skip


def note(metrics: dict) -> str:
    explained = metrics.get("validation/explained")
    return "" if explained is None else f"validation: {100 * explained:.1f} % of the noise explained"


def finish(run: ScoreNetRun, inputs: None, state: dict, context: Context) -> dict:
    """Write model, denoising gain and report."""
    from protray.cluster.train.driver import in_task, track_history
    from protray.plots.structure.score_report import write_score_report
    from protray.training.structure.score_export import save_score_net

    model, position = run.out / "model", state["position"]
    with model.writing() as folder:
        save_score_net(folder, run.net, state["best"])
    track_history(context, context.run_id, position["history"])
    log.info("denoising whole chains")
    split, results, counts = in_task(context, JOB.name, denoise, run)
    context.tracker.log(context.run_id, results.metrics(), step=position["step"])
    made_of = {"data": run.data or "the bundled sample"} | counts | identity(run)
    facts = {name: str(value) for name, value in made_of.items()}
    with (run.out / "report.html").writing() as report:
        write_score_report(report, position["history"], run.net.noise.sigmas(), results, split=split, facts=facts)
    context.tracker.artifact(context.run_id, run.out / "report.html")
    context.tracker.artifact(context.run_id, model, "model")
    return {
        "best_step": position["best_step"], "steps": position["step"], "history": position["history"],
        "denoising": results.rows(), "denoising_split": split, "chains": counts,
    }  # fmt: skip


def denoise(run: ScoreNetRun, device: str) -> "tuple[Split, DenoisingResults, dict[str, int]]":
    """Ray task: how well the network denoises chains of which split, and how many chains there are."""
    import torch

    from protray.evaluation.denoising import evaluate_denoising
    from protray.inference.denoise import NetworkDenoiser
    from protray.plm.masked import has_bf16
    from protray.training.structure.score_export import load_score_net

    net: Any = load_score_net((run.out / "model").fetch())
    net = net.to(memory_format=torch.channels_last).to(device)
    train_chains, (split, others) = read_split(run.data, "train"), held_out(run.data)
    denoiser = NetworkDenoiser(net, run.fit.crop, run.fit.bf16 and has_bf16())
    results = evaluate_denoising(denoiser, net.config.noise.sigmas(), others, train_chains, run.denoising)
    return split, results, {"training chains": len(train_chains), f"{split} chains": len(others)}


def show(run: ScoreNetRun, facts: dict) -> None:
    """Say how good the network is, and where it lies."""
    best = next(point for point in facts["history"] if point["step"] == facts["best_step"])
    print(
        f"validation, best at step {best['step']} of {facts['steps']}: {best['validation/explained']:.3f} of the noise "
        f"within reach explained; loss {best['validation/loss']:.1f}, {best['validation/loss_over_zero']:.3f} of a "
        f"zero score's, {best['validation/loss_over_floor']:.1f} of the floor"
    )
    sampled = [row for row in facts["denoising"] if row["level"] is None]
    print(
        f"from noise of {sampled[0]['sigma']:g} Å, {sampled[0]['n']} {facts['denoising_split']} chains (95 % intervals)"
    )
    for row in sampled:
        rmsd, lddt = (with_interval(row[name], row[f"{name}_ci95"]) for name in ("rmsd", "lddt"))
        print(f"  {row['method']:<24} RMSD {rmsd} Å, lDDT {lddt}")
    print(f"model   {run.out / 'model'}\nreport  {run.out / 'report.html'}\nMLflow  {facts['mlflow_ui']}")


JOB = TrainingJob(
    name="score net", seed=lambda run: run.fit.seed, digest=lambda run: dataset_digest(run.data), identity=identity,
    stages=stages, settings=settings, loop=loop, finish=finish, show=show, note=note, trial=trial,
    step_of=lambda state: state["position"]["step"],
)  # fmt: skip
