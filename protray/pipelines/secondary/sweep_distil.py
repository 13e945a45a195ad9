"""What a trial of PSSM-Distil trains: F_e and F_s, Eq. 9, on the maps and beside the teacher that all trials share."""

import functools
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from protray.cluster.runtime.resources import Plan
from protray.cluster.runtime.start import Cluster
from protray.cluster.train.driver import resources
from protray.cluster.train.job import Context
from protray.cluster.tuning.job import Outcome, Sweepable, TrialReport
from protray.cluster.tuning.one_fit import n_weights
from protray.cluster.tuning.settings import SweepRun
from protray.data.location import Location
from protray.data.parquet import read_parquet
from protray.data.sample import SAMPLE
from protray.data.secondary.dataset import Proteins, parquet_files
from protray.data.secondary.features import FeatureConfig
from protray.evaluation.bins import Bin
from protray.evaluation.distil import OURS, three_of
from protray.evaluation.secondary import count_correct
from protray.evaluation.sweep_halves import HALVES, ids_of
from protray.losses.weights import DistilWeights
from protray.models.secondary.enhance_net import EnhanceConfig, EnhanceNet
from protray.models.secondary.ss_classifier import SsClassifier
from protray.pipelines.language_model.made_with import MadeWith
from protray.pipelines.secondary import distil
from protray.pipelines.secondary.distil_inputs import DistilRun, maps_of, prepare_inputs, read_inputs
from protray.seq.downsample import LOW_QUALITY
from protray.training.secondary.finished import read_history, read_probabilities
from protray.training.secondary.fit import FitConfig
from protray.training.secondary.session import run_stages, validation_rows
from protray.training.secondary.stages import Stage
from protray.training.world import World

OBJECTIVES = {
    f"Q3 at > {LOW_QUALITY} homologs": Bin("count", None, LOW_QUALITY),
    "Q3 without homologs": Bin("count", 0),
}
CONFIRMING = "test"  # split that holds the confirming half during a sweep
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
    teacher_folder: Location
    inputs: Location  # folder of proteins.arrow and maps.arrow
    made: MadeWith
    features: FeatureConfig

    @property
    def steps(self) -> int:
        """Reports of a trial."""
        return self.ours.networks.fit.epochs


def run_of(run: SweepRun) -> DistilRun:
    """The run whose training `protray` is done once per trial."""
    one = DistilRun.preset(run.model)
    return replace(
        one, data=run.data, out=run.out, lm=run.lm, maps=run.maps, epochs=run.epochs, seed=run.seed, mlflow=run.mlflow
    )


def identity(run: SweepRun) -> dict:
    made = maps_of(run_of(run))
    return {"digest of the data": made.proteins, "maps": made.key}


def base(run: SweepRun) -> DistilSettings:
    """The settings that a study starts from."""
    ours = _named(distil.stages_of(run_of(run)), OURS)
    return DistilSettings(weights=ours.weights, fit=ours.networks.fit, enhance=ours.networks.enhance)


def params(settings: DistilSettings, shared: Shared) -> dict:
    """Parameters of a trial's MLflow run: those of a single run's stage."""
    return asdict(_stage(settings, shared))


def plan(run: SweepRun, cluster: Cluster) -> Plan:
    """The teacher's worker."""
    return resources(distil.JOB, run_of(run), cluster)


def prepare(run: SweepRun, context: Context) -> Shared:
    """Compute dataset, maps and teacher, where they are missing."""
    one = run_of(run)
    inputs, trainings = prepare_inputs(one), distil.stages_of(one)
    ours = _named(trainings, OURS)
    teacher = next(training for training in trainings if training.name == ours.after)
    distil.train_some(one, [teacher], inputs, context)
    folder = distil.folders_of(one, [teacher], inputs.made)[teacher.name]
    return Shared(teacher, ours, folder, inputs.folder, inputs.made, one.features)


def train(
    settings: DistilSettings, shared: Shared, folder: Path, report: TrialReport, resume: dict | None, device: str
) -> Outcome:
    """Train in this process, with the choosing half as validation split, and score both halves."""
    proteins = _proteins(shared.inputs)
    stage = _stage(settings, shared)
    place = Location(folder)
    run_stages(
        [shared.teacher, stage], {shared.teacher.name: shared.teacher_folder, OURS: place}, proteins, shared.features,
        lambda metrics, state: report(metrics.get("epoch"), metrics, state), resume, World(device=device),
    )  # fmt: skip
    halves = np.concatenate([validation_rows(proteins), proteins.of_split(CONFIRMING)])
    values = _accuracies(place, stage, proteins, halves)
    rows = validation_rows(proteins)
    known = np.array([values[proteins.ids[row]] for row in rows])
    inside = {name: known[found.select(proteins.msa_counts[rows])] for name, found in OBJECTIVES.items()}
    history = read_history(place)
    return Outcome(
        values=values,
        scores={"validation/q3": float(known.mean())},
        objectives={name: float(accuracy.mean()) for name, accuracy in inside.items() if len(accuracy)},
        history=[epoch | {"step": epoch["epoch"]} for epoch in history],
        clusters={proteins.ids[row]: proteins.table["cluster"][row].as_py() for row in halves.tolist()},
    )


def save_model(run: SweepRun, settings: DistilSettings, shared: Shared, folder: Path, target: Path) -> None:
    """Write the model, for jobs/predict.py, from a finished trial's folder."""
    from protray.pipelines.secondary.distil_results import save_model_of  # draws: matplotlib is slow to import

    save_model_of(run_of(run), shared.made, _stage(settings, shared), Location(folder), Location(target))


def _named(trainings: list[Stage], name: str) -> Stage:
    return next(one for one in trainings if one.name == name)


def _stage(settings: DistilSettings, shared: Shared) -> Stage:
    networks = replace(shared.ours.networks, fit=settings.fit, enhance=settings.enhance)
    return replace(shared.ours, weights=settings.weights, networks=networks)


@functools.lru_cache(maxsize=1)
def _proteins(inputs: Location) -> Proteins:
    """Mapped into memory once per process, and shared by all processes of a machine."""
    return split_by_halves(read_inputs(inputs))


def split_by_halves(proteins: Proteins) -> Proteins:
    """The same table where the choosing half is the validation split, and the confirming half is in the test's place.

    So no training of a sweep sees the confirming half when it picks its best weights, yet all predict it at the end.
    The test proteins, and validation proteins without labels, are in no split.  The teacher, which all trials share,
    was chosen on both halves: that is the same for every point.
    """
    clusters = proteins.table["cluster"].to_pylist()
    splits = [split if split == "train" else "" for split in proteins.table["split"].to_pylist()]
    of_id = {proteins.ids[row]: row for row in validation_rows(proteins).tolist()}
    named = {name: clusters[row] for name, row in of_id.items()}
    for half, split in zip(HALVES, ("validation", CONFIRMING), strict=True):
        for name in ids_of(half, named):
            splits[of_id[name]] = split
    place = proteins.table.schema.get_field_index("split")
    field = proteins.table.schema.field(place)
    return replace(proteins, table=proteins.table.set_column(place, field, pa.array(splits)))


def _accuracies(folder: Location, stage: Stage, proteins: Proteins, rows: np.ndarray) -> dict[str, float]:
    """Q3 of the proteins in `rows`."""
    prob, _ = read_probabilities(folder, stage.networks.classifier.states)
    found = {}
    for row in rows:
        name = proteins.ids[row]
        right, known = count_correct(three_of(prob[name]).argmax(axis=1), proteins.ss3(row))
        found[name] = right / known
    return found


def guess_seconds(run: SweepRun) -> float:
    """Seconds of one CPU core that a trial will take, from weights, training residues and epochs."""
    ours = _named(distil.stages_of(run_of(run)), OURS)
    networks = EnhanceNet(ours.networks.enhance), SsClassifier(ours.networks.classifier)
    weights = n_weights(*networks)
    source = run.data / "proteins" if run.data else SAMPLE
    residues = 0
    for file in parquet_files(source):
        table = read_parquet(file, ["sequence" if run.data else "ss8", "split"])
        texts, splits = table.columns[0].to_pylist(), table["split"].to_pylist()
        residues += sum(len(text) for text, split in zip(texts, splits, strict=True) if split == "train")
    return SECONDS_PER_WEIGHT_AND_RESIDUE * weights * residues * ours.networks.fit.epochs


SWEEP = Sweepable(
    identity=identity, base=base, params=params, prepare=prepare, train=train, save_model=save_model,
    guess_seconds=guess_seconds, plan=plan,
)  # fmt: skip
