r"""What a trial of the network for interaction sites trains: no embeddings, on proteins that all trials share.

A trial is scored by its likelihood: the mean over proteins of :math:`\exp(-\mathrm{BCE})`, the geometric mean of the
probabilities that it gives the true labels of a protein's residues.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from protray.cluster.train.job import Context
from protray.cluster.tuning import one_fit
from protray.cluster.tuning.job import Outcome, Sweepable, TrialReport
from protray.cluster.tuning.one_fit import BEST, NetSettings, Shared
from protray.cluster.tuning.settings import SweepRun
from protray.data.sites.batch import FeatureSet
from protray.data.sites.table import SiteProtein, read_sites
from protray.evaluation.tasks.sites.scores import Scored, average_precision, best_threshold
from protray.models.tasks.site_config import SiteNetConfig
from protray.models.tasks.site_net import SiteNet
from protray.pipelines.tasks.sites.data import bundled, digest_of, make_proteins
from protray.pipelines.tasks.sites.inputs import PAPER_FIT, PAPER_NET
from protray.training.checkpoint import load_state
from protray.training.tasks.sites.export import save_site_net
from protray.training.tasks.sites.fit import fit, predict
from protray.training.tasks.sites.steps import SiteFitConfig
from protray.training.world import World

COMMON = "validation/likelihood"
VALIDATION = 50  # training proteins that become it, where the data has splits without
SECONDS_PER_WEIGHT_AND_RESIDUE = 1e-10  # forward and backward on one core, about


def base(run: SweepRun) -> NetSettings:
    """The settings that a study starts from; the paper's without its layer of 100 million weights."""
    paper = run.model == "paper"
    net, config = (replace(PAPER_NET, faithful=False), PAPER_FIT) if paper else (SiteNetConfig(), SiteFitConfig())
    return NetSettings(net=net, fit=replace(config, epochs=run.epochs, seed=run.seed))


def identity(run: SweepRun) -> dict:
    return {"data": digest_of(run.data)}


def prepare(run: SweepRun, context: Context) -> Shared:
    """Label the proteins, where they are missing."""
    proteins = make_proteins(run.out, run.data, VALIDATION, seed=0)
    return Shared(proteins, base(run).fit.steps(len(read_sites(proteins, "train"))))


def train(
    settings: NetSettings, shared: Shared, folder: Path, report: TrialReport, resume: dict | None, device: str
) -> Outcome:
    """Train, and score both halves."""
    training, validation = (read_sites(shared.data, split) for split in ("train", "validation"))
    wanted = FeatureSet.of(training)
    clusters = {protein.id: protein.cluster for protein in validation}
    choosing, confirming = (
        [validation[row] for row in rows] for rows in one_fit.rows_of_halves(list(clusters), clusters)
    )
    return one_fit.fit_and_score(
        COMMON,
        lambda on_report: fit(
            settings.net, wanted, training, choosing, settings.fit, on_report, resume, World(device=device)
        ),
        lambda weights, proteins: score(built(settings.net, wanted, weights), proteins, wanted, device),
        (choosing, confirming), clusters, folder, report,
    )  # fmt: skip


def score(
    net: SiteNet, proteins: list[SiteProtein], wanted: FeatureSet, device: str
) -> tuple[dict[str, float], dict[str, float]]:
    """The likelihood of each protein with labels; its mean, and the AUPRC of all residues."""
    found = predict(net, proteins, wanted, device)
    values = {}
    for protein, prob_L in zip(proteins, found, strict=True):
        right_L = np.where(protein.label_L == 1, prob_L, 1 - prob_L)[protein.known_L].clip(1e-7)
        if len(right_L):
            values[protein.id] = float(np.exp(np.log(right_L).mean()))
    scored = _scored(proteins, found)
    return values, {"likelihood": one_fit.mean(values), "AUPRC": average_precision(scored.score_N, scored.site_N)}


def _scored(proteins: list[SiteProtein], found: list[np.ndarray]) -> Scored:
    return Scored.of(found, [one.label_L for one in proteins], [one.cluster for one in proteins])


def built(config: SiteNetConfig, wanted: FeatureSet, weights: dict) -> SiteNet:
    """A network with these weights."""
    return one_fit.with_weights(SiteNet(config, wanted.width, wanted.channels), weights)


def save_model(run: SweepRun, settings: NetSettings, shared: Shared, folder: Path, target: Path) -> None:
    """Write the model, for jobs/find_sites.py, from a finished trial's folder; its threshold is that of validation."""
    weights, validation = load_state(folder / BEST), read_sites(shared.data, "validation")
    wanted = FeatureSet.of(read_sites(shared.data, "train"))
    scored = _scored(validation, predict(built(settings.net, wanted, weights), validation, wanted))
    threshold = best_threshold(scored.score_N, scored.site_N)
    save_site_net(target, settings.net, weights, wanted, threshold, {})


def guess_seconds(run: SweepRun) -> float:
    """Seconds of one CPU core that a trial will take, from weights, epochs and the residues of the bundled proteins."""
    one = base(run)
    weights = one_fit.n_weights(SiteNet(one.net, FeatureSet().width))
    residues = sum(len(protein.sequence) for protein in read_sites([bundled()], "train"))
    return SECONDS_PER_WEIGHT_AND_RESIDUE * weights * residues * one.fit.epochs


SWEEP = Sweepable(
    identity=identity, base=base, prepare=prepare, train=train, save_model=save_model, guess_seconds=guess_seconds
)  # fmt: skip
