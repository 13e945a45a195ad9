"""What a trial of fine-tuning trains: an encoder with random weights, fused with a language model, on EC numbers.

The deck's curves of "ESM-SSDM serial": of all that learns only the language model has been trained before.  A trial
begins with the closed-form head, and is scored as a trial of a head is (`sweep`).
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from protray.cluster.train.job import Context
from protray.cluster.tuning import one_fit
from protray.cluster.tuning.job import Outcome, Sweepable, TrialReport
from protray.cluster.tuning.one_fit import BEST, n_weights
from protray.cluster.tuning.settings import SweepRun
from protray.data.location import Location
from protray.data.tasks.examples import read_rows
from protray.evaluation.tasks.properties.closed_form import closed_form
from protray.evaluation.tasks.properties.function import curve, fmax
from protray.evaluation.tasks.properties.read_outs import TUNED
from protray.inference.embeddings.residues import statistics_of
from protray.inference.embeddings.structure_encoder import StructureEncoder
from protray.models.joint.ssdm_config import EncoderKind, FusionKind
from protray.pipelines.structure.sweep_ssdm import SECONDS_PER_WEIGHT_AND_RESIDUE
from protray.pipelines.tasks.embedding import Embedding
from protray.pipelines.tasks.embeddings import has_side_chains
from protray.pipelines.tasks.properties.function.inputs import data_digest, proteins_of, written
from protray.pipelines.tasks.properties.function.sweep import COMMON, function_run, ranking
from protray.pipelines.tasks.tuned.examples import structure_examples
from protray.pipelines.tasks.tuned.models import loaded, save_tuned
from protray.pipelines.tasks.tuned.training import begin, network
from protray.plm.hub.folder import check_present
from protray.plm.shipped import absolute, fingerprint, weight_bytes
from protray.training.checkpoint import load_state
from protray.training.tasks.properties.fine_tune import fit, predict
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig
from protray.training.tasks.properties.fine_tune_examples import StructureExamples
from protray.training.world import World

PAPER_FIT = FineTuneConfig(epochs=50, batch=8, micro_batch=2, crop=550, schedule="plateau", warmup=0, weight_decay=0.0)


@dataclass(frozen=True, kw_only=True)
class TunedSettings:
    """What may vary: which encoder begins at random, how it is fused with the language model, how both learn."""

    encoder: EncoderKind = "ours"
    fusion: FusionKind = "serial"
    lm: str
    fit: FineTuneConfig = field(default_factory=FineTuneConfig)

    @property
    def embedding(self) -> Embedding:
        """The network before it learns."""
        beside = None if self.fusion == "none" else self.lm
        return Embedding(random=self.encoder, seed=self.fit.seed, fusion=self.fusion, beside=beside)


@dataclass(frozen=True)
class Shared:
    """What all trials read."""

    examples: Location
    structures: Location
    labels: list[str]
    steps: int  # of a trial


def base(run: SweepRun) -> TunedSettings:
    """The settings that a study starts from."""
    config = PAPER_FIT if run.model == "paper" else FineTuneConfig()
    return TunedSettings(lm=absolute(run.lm), fit=replace(config, epochs=run.epochs, seed=run.seed))


def identity(run: SweepRun) -> dict:
    one = function_run(run)
    if not one.structured:
        raise ValueError("no row has a structure, which encoders read")
    check_present(run.lm)
    return {"data": data_digest(one), "lm": fingerprint(run.lm)}


def prepare(run: SweepRun, context: Context) -> Shared:
    """Write the proteins and their structures as a run of the job does."""
    examples, structures = written(function_run(run))
    proteins = proteins_of(function_run(run))[0]
    return Shared(examples, structures, proteins.labels, base(run).fit.steps(proteins.sizes()[0]))


def train(
    settings: TunedSettings, shared: Shared, folder: Path, report: TrialReport, resume: dict | None, device: str
) -> Outcome:
    """Train, and score both halves; the closed-form head and the best epoch are chosen on the half that chooses."""
    rows = read_rows(shared.examples, "validation")
    clusters = dict(zip(rows.ids, rows.clusters, strict=True))
    choosing, confirming = one_fit.rows_of_halves(rows.ids, clusters)
    train_NF, train = frozen(settings.embedding, shared, "train", device)
    held_out_NF, held_out = frozen(settings.embedding, shared, "validation", device)

    def part(half_M: np.ndarray) -> StructureExamples:
        return replace(held_out, row_N=held_out.row_N[half_M], y_NT=held_out.y_NT[half_M])

    chosen = part(choosing)
    channels, outputs = train_NF.shape[1], len(shared.labels)
    net, scored = (network(settings.embedding, "labels", channels, outputs, settings.fit) for _ in range(2))
    begin(net.head, closed_form("labels", train_NF, train.y_NT, held_out_NF[choosing], chosen.y_NT), train.y_NT)

    def quality(found_MT: np.ndarray) -> float:
        return float(ranking(found_MT, chosen.y_NT > 0.5).mean())

    def score(weights: dict, half_M: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
        half = part(half_M)
        scored.load_state_dict(weights, strict=False)  # a language model that does not learn is in no state
        found_MT, true_MT = predict(scored, half, device), half.y_NT > 0.5
        values = dict(zip([rows.ids[m] for m in half_M], ranking(found_MT, true_MT).tolist(), strict=True))
        return values, {"label ranking": one_fit.mean(values), "Fmax": fmax(found_MT, true_MT)}

    return one_fit.fit_and_score(
        COMMON,
        lambda on_report: fit(
            net, train, chosen, settings.fit, quality, on_report, resume, World(device=device)
        ),
        score, (choosing, confirming), clusters, folder, report,
    )  # fmt: skip


def frozen(
    embedding: Embedding, shared: Shared, split: str, device: str = "cpu"
) -> tuple[np.ndarray, StructureExamples]:
    """The proteins of a split, and what a linear read-out reads of them before anything learns, shape (N, F)."""
    examples = examples_of(shared, split)
    encoder = StructureEncoder(*embedding.joint(), device)
    x_NF = np.full((len(examples.y_NT), 2 * encoder.channels + 1), np.nan, np.float32)
    for n in np.flatnonzero(examples.row_N >= 0):
        x_NF[n] = statistics_of(encoder.residue(examples.chains.chain(examples.row_N[n])))
    return x_NF, examples


def examples_of(shared: Shared, split: str) -> StructureExamples:
    """The proteins of a split; none is left out for a vector that could not be made, as there are none yet."""
    rows = read_rows(shared.examples, split)
    return structure_examples(shared.structures, rows, np.zeros((len(rows), 1)))


def save_model(run: SweepRun, settings: TunedSettings, shared: Shared, folder: Path, target: Path) -> None:
    """Write the model, for jobs/annotate.py, from a finished trial's folder; its threshold is that of validation."""
    weights = load_state(folder / BEST)
    one = replace(
        function_run(run), random=(settings.encoder,), random_fusion=(settings.fusion,), fine_tune=True,
        fine=settings.fit,
    )  # fmt: skip
    name = f"{settings.embedding.kind}, {TUNED}"
    held_out = examples_of(shared, "validation")
    threshold = curve(predict(loaded(one, name, weights, "labels"), held_out), held_out.y_NT > 0.5).best()[1]
    side_chains = has_side_chains(shared.structures)
    save_tuned(one, name, weights, "ec", "labels", shared.labels, {}, threshold, side_chains, Location(target))


def guess_seconds(run: SweepRun) -> float:
    """Seconds of one CPU core that a trial will take, from weights, residues and epochs."""
    one, proteins = base(run), proteins_of(function_run(run))[0]
    weights = n_weights(replace(one.embedding, fusion="none", beside=None).joint()[1]) + weight_bytes(run.lm) / 4 / 5
    lengths = [min(len(row.sequence), one.fit.crop) for row in proteins.rows]
    residues = sum(lengths) / len(lengths) * proteins.sizes()[0] * one.fit.epochs
    return SECONDS_PER_WEIGHT_AND_RESIDUE * weights * residues


SWEEP = Sweepable(
    identity=identity, base=base, prepare=prepare, train=train, save_model=save_model, guess_seconds=guess_seconds
)  # fmt: skip
