"""What a trial of PSSM-Distil trains: F_e and F_s, Eq. 9, on the maps and beside the teacher that all trials share."""

import functools
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from protray.cluster import distil, remote
from protray.cluster.distil_run import digest
from protray.cluster.start import Cluster
from protray.cluster.sweep_run import SweepRun
from protray.cluster.sweep_trial import Outcome, Report
from protray.cluster.tracking import Tracker
from protray.data.dataset import Proteins, parquet_files
from protray.data.features import FeatureConfig
from protray.data.parquet import read_parquet
from protray.data.sample import SAMPLE
from protray.evaluation.bins import Bin
from protray.evaluation.distil import OURS, three_of
from protray.evaluation.secondary import count_correct
from protray.losses.weights import DistilWeights
from protray.models.enhance_net import EnhanceConfig, EnhanceNet
from protray.models.ss_classifier import SsClassifier
from protray.plm.shipped import check_present, fingerprint
from protray.seq.downsample import LOW_QUALITY
from protray.training.secondary.fit import FitConfig
from protray.training.secondary.session import read_probabilities, run_stages, stage_keys, validation_rows
from protray.training.secondary.stages import Stage
from protray.training.world import World

OBJECTIVES = {
    f"Q3 at > {LOW_QUALITY} homologs": Bin("count", None, LOW_QUALITY),
    "Q3 without homologs": Bin("count", 0),
}
SECONDS_PER_WEIGHT_AND_RESIDUE = 1.9e-10  # of an epoch on one core


@dataclass(frozen=True, kw_only=True)
class DistilSettings:
    """What may vary: nothing here reaches the maps, the PSSMs or the teacher."""

    weights: DistilWeights
    fit: FitConfig
    enhance: EnhanceConfig


@dataclass(frozen=True)
class Shared:
    """What all trials read."""

    teacher: Stage
    ours: Stage
    teacher_folder: Path
    inputs: Path  # folder of proteins.arrow and maps.arrow
    features: FeatureConfig

    @property
    def steps(self) -> int:
        """Reports of a trial."""
        return self.ours.networks.fit.epochs


def base(run: SweepRun) -> DistilSettings:
    """The settings that a study starts from."""
    ours = _ours(run.distil_run().stages(0))
    return DistilSettings(weights=ours.weights, fit=ours.networks.fit, enhance=ours.networks.enhance)


def params(settings: DistilSettings, shared: Shared) -> dict:
    """Parameters of a trial's MLflow run: those of a single run's stage."""
    return asdict(_stage(settings, shared))


def prepare(run: SweepRun, cluster: Cluster, tracker: Tracker, parent: str) -> Shared:
    """Compute dataset, maps and teacher, where they are missing."""
    one = run.distil_run()
    check_present(one.lm)
    inputs = {"data": run.fixed()["digest of the data"], "lm": fingerprint(one.lm), "features": asdict(one.features)}
    job_plan = distil.make_plan(one, cluster)
    cache = (run.out / "cache").resolve()
    folder = cache / digest(inputs)
    distil.prepare_inputs(one, job_plan, folder)
    teacher = next(stage for stage in one.stages(0) if stage.name == "teacher")
    keys = stage_keys([teacher], inputs["data"], inputs["lm"], one.features)
    place = cache / f"teacher-{keys['teacher']}"
    distil.train_all(one, job_plan, [teacher], {"teacher": place}, folder, tracker, parent)
    return Shared(teacher, _ours(one.stages(0)), place, folder, one.features)


def train(
    settings: DistilSettings, shared: Shared, folder: Path, report: Report, resume: dict | None, device: str
) -> Outcome:
    """Train in this process and score the validation split."""
    proteins = _proteins(shared.inputs)
    stage = _stage(settings, shared)
    folders = {"teacher": remote.pull(shared.teacher_folder), OURS: folder}
    run_stages(
        [shared.teacher, stage], folders, proteins, shared.features,
        lambda letter, state: report(letter.get("epoch"), letter, state), resume, World(device=device),
    )  # fmt: skip
    values = _accuracies(folder, stage, proteins)
    rows = validation_rows(proteins)
    known = np.array([values[proteins.ids[row]] for row in rows])
    inside = {name: known[found.select(proteins.msa_counts[rows])] for name, found in OBJECTIVES.items()}
    history = json.loads((folder / "stage.json").read_text())["history"]
    return Outcome(
        values=values,
        scores={"validation/q3": float(known.mean())},
        objectives={name: float(accuracy.mean()) for name, accuracy in inside.items() if len(accuracy)},
        history=[epoch | {"step": epoch["epoch"]} for epoch in history],
    )


def save_model(run: SweepRun, settings: DistilSettings, shared: Shared, folder: Path) -> None:
    """Write ``run.out/model``, for jobs/predict.py, from a finished trial's folder."""
    from protray.cluster.distil_results import save_results_model  # draws: matplotlib is slow to import

    save_results_model(run.distil_run(), _stage(settings, shared), folder)


def _ours(stages: list[Stage]) -> Stage:
    return next(stage for stage in stages if stage.name == OURS)


def _stage(settings: DistilSettings, shared: Shared) -> Stage:
    networks = replace(shared.ours.networks, fit=settings.fit, enhance=settings.enhance)
    return replace(shared.ours, weights=settings.weights, networks=networks)


@functools.lru_cache(maxsize=1)
def _proteins(inputs: Path) -> Proteins:
    """Mapped into memory once per process, and shared by all processes of a machine."""
    return distil.read_prepared(inputs)


def _accuracies(folder: Path, stage: Stage, proteins: Proteins) -> dict[str, float]:
    """Q3 of every labelled validation protein."""
    prob, _ = read_probabilities(folder, stage.networks.classifier.states)
    found = {}
    for row in validation_rows(proteins):
        name = proteins.ids[row]
        right, known = count_correct(three_of(prob[name]).argmax(axis=1), proteins.ss3(row))
        found[name] = right / known
    return found


def guess_seconds(run: SweepRun) -> float:
    """Seconds of one CPU core that a trial will take, from weights, training residues and epochs."""
    ours = _ours(run.distil_run().stages(0))
    networks = EnhanceNet(ours.networks.enhance), SsClassifier(ours.networks.classifier)
    weights = sum(weight.numel() for network in networks for weight in network.parameters())
    source = run.data / "proteins" if run.data else SAMPLE
    residues = 0
    for file in parquet_files(source):
        table = read_parquet(file, ["sequence" if run.data else "ss8", "split"])
        texts, splits = table.columns[0].to_pylist(), table["split"].to_pylist()
        residues += sum(len(text) for text, split in zip(texts, splits, strict=True) if split == "train")
    return SECONDS_PER_WEIGHT_AND_RESIDUE * weights * residues * ours.networks.fit.epochs
