r"""What a trial of the network for interaction sites trains: no embeddings, on proteins that all trials share.

A trial is scored by its likelihood: the mean over proteins of :math:`\exp(-\mathrm{BCE})`, the geometric mean of the
probabilities that it gives the true labels of a protein's residues.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from protray.cluster.runtime.resources import Plan
from protray.cluster.runtime.start import Cluster
from protray.cluster.train.job import Context
from protray.cluster.tuning.job import Outcome, Sweepable, TrialReport
from protray.cluster.tuning.settings import SweepRun
from protray.data.location import Location
from protray.data.sites.batch import FeatureSet
from protray.data.sites.table import SiteProtein, read_sites
from protray.evaluation.sweep_halves import HALVES, ids_of
from protray.evaluation.tasks.sites import Scored, average_precision, best_threshold
from protray.models.tasks.site_config import SiteNetConfig
from protray.models.tasks.site_net import SiteNet
from protray.pipelines.tasks.sites.data import bundled, digest_of, make_proteins
from protray.pipelines.tasks.sites.inputs import PAPER_FIT, PAPER_NET
from protray.training.checkpoint import load_state, save_state
from protray.training.tasks.sites import fit, predict
from protray.training.tasks.sites_export import save_site_net
from protray.training.tasks.sites_steps import SiteFitConfig
from protray.training.world import World

COMMON = "validation/likelihood"
VALIDATION = 50  # training proteins that become it, where the data has splits without
BEST = "best"  # folder of the weights to keep
SECONDS_PER_WEIGHT_AND_RESIDUE = 1e-10  # forward and backward on one core, about


@dataclass(frozen=True, kw_only=True)
class SiteSettings:
    """What may vary."""

    net: SiteNetConfig
    fit: SiteFitConfig


@dataclass(frozen=True)
class Shared:
    """What all trials read."""

    proteins: list[Location]
    steps: int  # of a trial


def base(run: SweepRun) -> SiteSettings:
    """The settings that a study starts from; the paper's without its layer of 100 million weights."""
    paper = run.model == "paper"
    net, config = (replace(PAPER_NET, faithful=False), PAPER_FIT) if paper else (SiteNetConfig(), SiteFitConfig())
    return SiteSettings(net=net, fit=replace(config, epochs=run.epochs, seed=run.seed))


def identity(run: SweepRun) -> dict:
    return {"data": digest_of(run.data)}


def plan(run: SweepRun, cluster: Cluster) -> Plan:
    """Labelling complexes takes single CPUs, when no trial runs."""
    return Plan((), cluster.nodes)


def params(settings: SiteSettings, shared: Shared) -> dict:
    """Parameters of a trial's MLflow run."""
    return asdict(settings)


def prepare(run: SweepRun, context: Context) -> Shared:
    """Label the proteins, where they are missing."""
    proteins = make_proteins(run.out, run.data, VALIDATION, seed=0)
    return Shared(proteins, base(run).fit.steps(len(read_sites(proteins, "train"))))


def train(
    settings: SiteSettings, shared: Shared, folder: Path, report: TrialReport, resume: dict | None, device: str
) -> Outcome:
    """Train in this process, validate on the choosing half, and score both halves."""
    training, validation = (read_sites(shared.proteins, split) for split in ("train", "validation"))
    wanted = FeatureSet.of(training)
    clusters = {protein.id: protein.cluster for protein in validation}
    choosing = set(ids_of(HALVES[0], clusters))
    chosen = [protein for protein in validation if protein.id in choosing]

    def on_report(metrics: dict[str, float], state: dict | None) -> None:
        if state is None:
            report(None, metrics, None)
            return
        values, _ = score(built(settings.net, wanted, state["best"]), chosen, wanted, device)
        report(int(metrics["step"]), metrics | {COMMON: float(np.mean(list(values.values())))}, state)

    state = fit(settings.net, wanted, training, chosen, settings.fit, on_report, resume, World(device=device))
    save_state(folder / BEST, state["best"])
    net = built(settings.net, wanted, state["best"])
    values, _ = score(net, validation, wanted, device)
    likelihood = float(np.mean([values[id] for id in choosing if id in values]))
    _, auprc = score(net, chosen, wanted, device)
    return Outcome(
        values=values, scores={COMMON: likelihood}, objectives={"likelihood": likelihood, "AUPRC": auprc},
        history=state["position"]["history"], clusters=clusters,
    )  # fmt: skip


def score(net: SiteNet, proteins: list[SiteProtein], wanted: FeatureSet, device: str) -> tuple[dict[str, float], float]:
    """The likelihood of each protein with labels, and the AUPRC of all residues."""
    found = predict(net, proteins, wanted, device)
    values = {}
    for protein, prob_L in zip(proteins, found, strict=True):
        right_L = np.where(protein.label_L == 1, prob_L, 1 - prob_L)[protein.known_L].clip(1e-7)
        if len(right_L):
            values[protein.id] = float(np.exp(np.log(right_L).mean()))
    scored = _scored(proteins, found)
    return values, average_precision(scored.score_N, scored.site_N)


def _scored(proteins: list[SiteProtein], found: list[np.ndarray]) -> Scored:
    return Scored.of(found, [one.label_L for one in proteins], [one.cluster for one in proteins])


def built(config: SiteNetConfig, wanted: FeatureSet, weights: dict) -> SiteNet:
    """A network with these weights."""
    net = SiteNet(config, wanted.width, wanted.channels)
    net.load_state_dict(weights)
    return net


def save_model(run: SweepRun, settings: SiteSettings, shared: Shared, folder: Path, target: Path) -> None:
    """Write the model, for jobs/find_sites.py, from a finished trial's folder; its threshold is that of validation."""
    weights, validation = load_state(folder / BEST), read_sites(shared.proteins, "validation")
    wanted = FeatureSet.of(read_sites(shared.proteins, "train"))
    scored = _scored(validation, predict(built(settings.net, wanted, weights), validation, wanted))
    threshold = best_threshold(scored.score_N, scored.site_N)
    save_site_net(target, settings.net, weights, wanted, threshold, {})


def guess_seconds(run: SweepRun) -> float:
    """Seconds of one CPU core that a trial will take, from weights, epochs and the residues of the bundled proteins."""
    one = base(run)
    weights = sum(weight.numel() for weight in SiteNet(one.net, FeatureSet().width).parameters())
    residues = sum(len(protein.sequence) for protein in read_sites([bundled()], "train"))
    return SECONDS_PER_WEIGHT_AND_RESIDUE * weights * residues * one.fit.epochs


SWEEP = Sweepable(
    identity=identity, base=base, params=params, prepare=prepare, train=train, save_model=save_model,
    guess_seconds=guess_seconds, plan=plan,
)  # fmt: skip
