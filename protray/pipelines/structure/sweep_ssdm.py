"""What a trial of SSDM's pre-training trains, and what it is scored by, whatever its objectives, fusion or noise are.

Losses of different objectives, masks or noise levels cannot be compared; what all encoders do alike is to give a chain
a vector.  The score is the share of chains whose nearest chain, of another cluster, has the same CATH topology.  Chains
of the training and the validation split are looked at: no objective reads labels.
"""

import functools
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from protray.cluster.storage.identity import content_digest
from protray.cluster.train.job import Context
from protray.cluster.tuning.job import Outcome, Sweepable, TrialReport
from protray.cluster.tuning.one_fit import BEST, n_weights
from protray.cluster.tuning.settings import SweepRun
from protray.data.location import Location
from protray.data.structure.atoms import AtomStructures, read_atoms
from protray.evaluation.sweep_halves import HALVES, ids_of
from protray.evaluation.tasks.properties.cath import same_class
from protray.inference.embeddings.structure_encoder import StructureEncoder
from protray.inference.nearest_folds import folds, vectors, with_partner
from protray.inference.ssdm_results import nothing_known
from protray.models.joint.fusion_config import FusionConfig
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.pipelines.structure.ssdm import SsdmRun, data_digest
from protray.plm.hub.folder import check_present
from protray.plm.shipped import absolute, fingerprint, weight_bytes
from protray.training.checkpoint import load_state, save_state
from protray.training.structure.ssdm import Pretrained, evaluate, fit, fresh, validation_batches
from protray.training.structure.ssdm_config import ObjectiveConfig, SsdmFitConfig
from protray.training.structure.ssdm_export import SsdmCard, save_ssdm
from protray.training.world import World

COMMON = "retrieval/same_topology"
POINTS = 5  # of a trial's curve: to embed all chains takes as long as many steps
ALIKE = "residue", "distance", "angle", "dihedral"  # objectives whose loss is known for who knows nothing
SECONDS_PER_WEIGHT_AND_RESIDUE = 7e-10  # forward and backward on one core, about; of a language model a fifth


@dataclass(frozen=True, kw_only=True)
class SsdmSettings:
    """What may vary.  `fusion` and `objective` are those of jobs/ssdm.py, the latter as one word: residue+distance."""

    objective: str
    fusion: Literal["none", "serial", "parallel", "cross"]
    lm: str
    lm_lr_ratio: float
    net: FrameAttentionConfig
    fuse: FusionConfig
    learn: ObjectiveConfig
    fit: SsdmFitConfig

    def __post_init__(self) -> None:
        _ = self.joint, self.objectives  # ValueError for what does not go together

    @property
    def joint(self) -> SsdmConfig:
        """The encoder; without a fusion it has no language model."""
        lm = None if self.fusion == "none" else self.lm
        return SsdmConfig(net=self.net, fusion=self.fusion, fuse=self.fuse, lm=lm, lm_lr_ratio=self.lm_lr_ratio)

    @property
    def objectives(self) -> ObjectiveConfig:
        """What it learns."""
        chosen: Any = tuple(self.objective.split("+"))
        return replace(self.learn, objective=chosen)


@dataclass(frozen=True)
class Shared:
    """What all trials read."""

    data: Location | None
    labels: Location | None
    steps: int  # of a trial; a contrast, which leaves short chains out, ends a little earlier


def base(run: SweepRun) -> SsdmSettings:
    """The settings that a study starts from."""
    one = SsdmRun.preset(run.model)
    return SsdmSettings(
        objective="+".join(one.learn.objective), fusion="none", lm=absolute(run.lm), lm_lr_ratio=one.joint.lm_lr_ratio,
        net=one.joint.net, fuse=one.joint.fuse, learn=one.learn, fit=replace(one.fit, epochs=run.epochs, seed=run.seed),
    )  # fmt: skip


def reads_lm(run: SweepRun) -> bool:
    """Whether a point of the study has a fusion."""
    points = [run.study.fixed, run.study.paper, *run.study.grid()]
    return any(point.get("fusion", "none") != "none" for point in points)


def identity(run: SweepRun) -> dict:
    if run.data and not run.labels:
        raise ValueError("trials are scored by CATH topologies: give --labels, a table of id and cath, with --data")
    queries(run.data, run.labels)
    if reads_lm(run):
        check_present(run.lm)
    return {
        "digest of the data": data_digest(run),
        "labels": content_digest([run.labels]) if run.labels else None,
        "lm": fingerprint(run.lm) if reads_lm(run) else None,
    }


def params(settings: SsdmSettings, shared: Shared) -> dict:
    """Parameters of a trial's MLflow run: those of a single run."""
    return {"joint": asdict(settings.joint), "learn": asdict(settings.objectives), "fit": asdict(settings.fit)}


def prepare(run: SweepRun, context: Context) -> Shared:
    """Count the steps; nothing else is shared but the dataset."""
    return Shared(run.data, run.labels, _total(run.data, base(run)))


def train(
    settings: SsdmSettings, shared: Shared, folder: Path, report: TrialReport, resume: dict | None, device: str
) -> Outcome:
    """Train in this process, take the weights of the lowest validation loss, and look for the nearest chains.

    Validation chains that are related to the confirming half have no part in that loss.
    """
    joint, learn = settings.joint, settings.objectives
    total = _total(shared.data, settings)
    config = replace(settings.fit, validate_every=max(1, -(-total // POINTS)))
    chains, others = (_chains(shared.data, split) for split in ("train", "validation"))
    asked = queries(shared.data, shared.labels)
    confirming = {asked.clusters[id] for id in ids_of(HALVES[1], asked.clusters)}
    kept = [m for m, id in enumerate(others.ids) if (others.clusters[m] or id) not in confirming]
    held_out = validation_batches(others.select(kept), learn, config, joint.net.neighbours)
    net = fresh(joint, learn, settings.fit.seed)
    card = SsdmCard(joint, chains.has_side_chains, learn.objective, settings.fit.seed)
    encoder = StructureEncoder(card, net.model, device)
    curve: dict[int, float] = dict(resume["curve"]) if resume else {}

    def on_report(metrics: dict[str, float], state: dict | None) -> None:
        if state is None:
            report(None, metrics, None)
            return
        step = int(metrics["step"])
        curve[step] = asked.choosing(asked.values(_with(net, state["average"]), encoder))
        report(step, metrics | {COMMON: curve[step]}, state | {"curve": curve})

    state = fit(joint, learn, config, total, chains, held_out, on_report, resume, World(device=device))
    save_state(folder / BEST, state["best"])
    values = asked.values(_with(net, state["best"]), encoder)
    agreement = asked.choosing(values)
    objectives = {"same topology": agreement}
    if set(learn.terms()) <= set(ALIKE):
        nothing = nothing_known(held_out, learn)
        lost = evaluate(net, held_out, learn, joint.net.neighbours, World(device=device))
        objectives["explained on validation"] = float(np.mean([1 - lost[term] / nothing[term] for term in nothing]))
    history = [point | {COMMON: curve[int(point["step"])]} for point in state["position"]["history"]]
    return Outcome(
        values=values, scores={COMMON: agreement}, objectives=objectives, history=history, clusters=asked.clusters
    )


def save_model(run: SweepRun, settings: SsdmSettings, shared: Shared, folder: Path, target: Path) -> None:
    """Write the model, for jobs/embed.py and the tasks, from a finished trial's folder."""
    side_chains = _chains(shared.data, "train").has_side_chains
    card = SsdmCard(settings.joint, side_chains, settings.objectives.objective, settings.fit.seed)
    save_ssdm(target, card, load_state(folder / BEST))


@dataclass(frozen=True)
class Queries:
    """Chains with a CATH topology that a chain of another cluster has, too."""

    chains: AtomStructures
    rows: list[int]
    label_N: np.ndarray
    clusters: dict[str, str]

    def values(self, net: Pretrained, encoder: StructureEncoder) -> dict[str, float]:
        """1 for each chain whose nearest of all has its topology, else 0."""
        assert encoder.net is net.model
        same_N = same_class(vectors(self.chains, self.rows, encoder), self.label_N, list(self.clusters.values()))
        return dict(zip(self.clusters, same_N.tolist(), strict=True))

    def choosing(self, values: dict[str, float]) -> float:
        """The mean over the choosing half."""
        return float(np.mean([values[id] for id in ids_of(HALVES[0], self.clusters)]))


@functools.lru_cache(maxsize=2)
def queries(data: Location | None, labels: Location | None) -> Queries:
    """Of the training and the validation split; ValueError if there are too few."""
    seen = {id for split in ("train", "validation") for id in _chains(data, split).ids}
    chains = read_atoms(data)
    chains = chains.select([m for m, id in enumerate(chains.ids) if id in seen])
    rows, label_N, clusters = with_partner(chains, folds(data, labels))
    found = Queries(chains, rows, label_N, dict(zip([chains.ids[m] for m in rows], clusters, strict=True)))
    for half in HALVES:
        ids_of(half, found.clusters)
    return found


def _with(net: Pretrained, weights: dict) -> Pretrained:
    net.load_state_dict(weights, strict=False)
    return net.eval()


def _total(data: Location | None, settings: SsdmSettings) -> int:
    least = settings.objectives.shortest_chain()
    return settings.fit.steps(int((_chains(data, "train").lengths >= least).sum()))


@functools.lru_cache(maxsize=2)
def _chains(data: Location | None, split: str) -> AtomStructures:
    """Read once per process."""
    return read_atoms(data, split)


def guess_seconds(run: SweepRun) -> float:
    """Seconds of one CPU core that a trial will take, from weights, residues and steps."""
    one = base(run)
    alone = fresh(replace(one, fusion="none").joint, one.objectives, 0)
    weights = n_weights(alone.model)
    weights += weight_bytes(run.lm) / 4 / 5 if reads_lm(run) else 0
    residues = one.fit.crop * one.fit.batch * _total(run.data, one)
    return SECONDS_PER_WEIGHT_AND_RESIDUE * weights * residues


SWEEP = Sweepable(
    identity=identity, base=base, params=params, prepare=prepare, train=train, save_model=save_model,
    guess_seconds=guess_seconds, scored="chains of the training and the validation split",
)  # fmt: skip
