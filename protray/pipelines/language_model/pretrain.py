"""Pre-training of a masked language model: corpus (Ray Data), training (Ray Train), model folder, scores.

``OUT/cache/corpus-KEY``     the encoded sequences, which the trainers map into memory
``OUT/model``                the model for Transformers
``OUT/curve.png``            perplexity over steps
``OUT/metrics.json``         all numbers
"""

import logging
import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from protray.cluster.storage.identity import digest
from protray.cluster.train.job import Context, Report, Stage, TrainingJob, TrainingSettings
from protray.data.location import Location
from protray.plm.pretraining.config import MaskedLmConfig

if TYPE_CHECKING:
    import numpy as np

    from protray.pipelines.language_model.corpus import CorpusSettings
    from protray.plm.pretraining.corpus import Corpus
    from protray.training.world import World

log = logging.getLogger(__name__)

SCORED_PROTEINS, SCORED_LENGTH = 200, 500  # of held-out clusters; a map costs one pass per residue
TRIAL_STEPS, TRIAL_SEQUENCES = 5, 4096  # between two points of the curve, and made up, when a plan times the loop


@dataclass(frozen=True, kw_only=True)
class PretrainRun(TrainingSettings):
    """What to read, and where to write; give `held_out` or `clusters`, so that there is something to validate on."""

    fasta: tuple[Location, ...]
    """FASTA files or folders of them (plain, .gz, .xz, .bz2)."""
    held_out: tuple[Location, ...] = ()
    """FASTA files of proteins to score the maps on; the first is also the validation set.  Their ids never train."""
    clusters: Location | None = None
    """Without --held-out: table `representative<TAB>member` of MMseqs2; some clusters of it are the validation set."""
    held_out_share: float = 0.01
    """Share of --clusters that is held out."""
    exclude: Location | None = None
    """Text file with ids to leave out of training, such as relatives of the held-out proteins."""
    min_length: int = 30
    """Residues; shorter sequences are left out."""
    out: Location = Location("runs/bert")
    """Folder to write to (on several nodes one that all of them share), or an s3:// or gs:// address."""
    lm: MaskedLmConfig = field(default_factory=MaskedLmConfig)

    def check(self) -> None:
        super().check()
        if bool(self.held_out) == bool(self.clusters):
            raise ValueError(
                "validation needs proteins that never train: give exactly one of --held-out FILE.fasta and "
                "--clusters TABLE, the representative<TAB>member table of `mmseqs easy-linclust`"
            )
        for place in (*self.fasta, *self.held_out, *filter(None, (self.clusters, self.exclude))):
            if not place.path.exists():
                raise ValueError(f"{place}: no such file or folder")
        names = [place.path.stem for place in self.held_out]
        if len(set(names)) < len(names):
            raise ValueError(f"scores are named after the --held-out files, but two of {names} are the same")
        if not 0 < self.held_out_share < 1:
            raise ValueError(f"--held-out-share must lie between 0 and 1, got {self.held_out_share}")
        self.lm.check_workers(self.workers)


@dataclass(frozen=True)
class Inputs:
    """What the trainers read."""

    corpus: Location
    summary: dict  # content of its corpus.json


def identity(run: PretrainRun) -> dict:
    for place in run.held_out:
        read_held_out(place, run.min_length)  # better an error now than after the corpus is encoded
    free = ("checkpoint_every",)
    return {
        "corpus": corpus_digest(run),
        "lm": {name: value for name, value in asdict(run.lm).items() if name not in free},
    }


def corpus_digest(run: PretrainRun) -> str:
    """Of all that the encoded corpus and the validation set depend on: the content of every file."""
    from protray.pipelines.language_model.corpus import identity as identity_of_corpus

    return digest(identity_of_corpus(corpus_settings(run)))


def corpus_settings(run: PretrainRun) -> "CorpusSettings":
    from protray.pipelines.language_model.corpus import CorpusSettings

    return CorpusSettings(
        fasta=run.fasta, held_out=run.held_out, clusters=run.clusters, held_out_share=run.held_out_share,
        seed=run.lm.seed, exclude=run.exclude, min_length=run.min_length, out=run.out / "cache",
    )  # fmt: skip


def read_held_out(place: Location, min_length: int) -> "Corpus":
    from protray.plm.pretraining.corpus import read_corpus

    return read_corpus([place.path], min_length)


def prepare(run: PretrainRun, context: Context) -> Inputs:
    """Encode the corpus, where that is not done."""
    from protray.pipelines.language_model.corpus import encode_corpus

    summary, folder = encode_corpus(corpus_settings(run))
    return Inputs(folder, summary)


def stages(run: PretrainRun, inputs: Inputs | None) -> list[Stage]:
    return [Stage(JOB.name, digest(identity(run)), run.lm.steps, f"steps of {run.lm.tokens_per_step} tokens")]


def settings(run: PretrainRun, inputs: Inputs) -> dict:
    held_out = run.held_out[0] if run.held_out else None
    return {"lm": run.lm, "corpus": inputs.corpus, "held_out": held_out, "min_length": run.min_length}


def trial(run: PretrainRun, stage: Stage) -> dict:
    """Made-up sequences as long as those of the input, and a point of the curve after few steps."""
    share = TRIAL_STEPS / run.lm.report_every
    few = replace(
        run.lm, report_every=TRIAL_STEPS, checkpoint_every=TRIAL_STEPS, compile=False,
        validation_sequences=max(1, round(share * run.lm.validation_sequences)),
    )  # fmt: skip
    return {"lm": few, "corpus": made_up(run), "held_out": None, "min_length": run.min_length}


def made_up(run: PretrainRun) -> "Corpus":
    """Sequences as long as those of the input."""
    import numpy as np

    from protray.data.lengths import read_lengths
    from protray.plm.pretraining.corpus import Corpus, pack
    from protray.seq.alphabet import N_AA
    from protray.seq.fasta import fasta_files

    lengths, rng = read_lengths(fasta_files([place.path for place in run.fasta])), np.random.default_rng(0)
    usable = lengths.residues[lengths.residues >= run.min_length]
    if not len(usable):
        raise ValueError(f"no sequence of {lengths.total:.0f} has {run.min_length} residues")
    codes = [rng.integers(0, N_AA, length, dtype=np.uint8) for length in rng.choice(usable, TRIAL_SEQUENCES).tolist()]
    return Corpus([pack([str(number) for number in range(TRIAL_SEQUENCES)], codes)])


def loop(settings: dict, report: Report, resume: dict | None, world: "World") -> None:
    from protray.plm.pretraining.corpus import Corpus, open_corpus
    from protray.plm.pretraining.steps import steps, validation_batches
    from protray.training.language_model.masked_lm import fit

    config = settings["lm"]
    if isinstance(settings["corpus"], Corpus):  # a plan's
        corpus = held_out = settings["corpus"]
    else:
        folder = settings["corpus"].fetch()
        corpus = open_corpus(folder, "train")
        given = settings["held_out"]
        held_out = read_held_out(given, settings["min_length"]) if given else open_corpus(folder, "held-out")

    def mine(epoch: int, index: int):  # noqa: ANN202
        return steps(corpus, config, epoch, index, world.rank, world.size)

    fit(config, mine, validation_batches(held_out, config), report, resume, world)


def note(metrics: dict) -> str:
    perplexity = metrics.get("validation/perplexity")
    return f"validation perplexity {perplexity:.3f}" if perplexity else ""


def finish(run: PretrainRun, inputs: Inputs, state: dict, context: Context) -> dict:
    """Write model, scores and curve."""
    from protray.cluster.train.driver import track_history
    from protray.plots.language_model.pretraining import pretraining_figure

    tracker, run_id, model = context.tracker, context.run_id, run.out / "model"
    save_model(run.lm, state["model"], model)
    history = state["position"]["history"]
    track_history(context, run_id, history)
    scores = score_maps(run, inputs, context)
    for name, values in scores.items():
        log.info("maps of %s: %s", name, ", ".join(f"{key} {value:.4g}" for key, value in values.items()))
        tracker.log(run_id, {f"maps/{name}/{key}": value for key, value in values.items()}, step=run.lm.steps)
    figure = pretraining_figure(history, next(iter(scores.values()))["frequency_perplexity"])
    with (run.out / "curve.png").writing() as path:
        figure.savefig(path, dpi=150, format="png")
    tracker.artifact(run_id, run.out / "curve.png")
    tracker.artifact(run_id, model, "model")
    return {
        "lm": asdict(run.lm),
        "files": [place.name for place in (*run.fasta, *run.held_out)],
        "corpus": {name: inputs.summary[name] for name in ("sequences", "residues", "left_out")},
        "history": history,
        "maps": scores,
    }


def save_model(config: MaskedLmConfig, weights: dict, folder: Location) -> None:
    """Write model and tokenizer, so that ``AutoModelForMaskedLM.from_pretrained(folder)`` reads them."""
    from protray.plm.pretraining.architecture import build_model
    from protray.plm.pretraining.tokens import save_tokenizer

    model = build_model(config)
    model.load_state_dict(weights)
    for weight in model.parameters():  # float16 on disk, read back in float32; buffers (rotary rates) stay exact
        weight.data = weight.data.half()
    with folder.writing() as place:
        model.save_pretrained(place)
        save_tokenizer(place)


def score_maps(run: PretrainRun, inputs: Inputs, context: Context) -> dict[str, dict]:
    """Name of a held-out set -> how well maps of one mask per position tell its residues."""
    from protray.cluster.train.driver import in_task

    sets = {place.path.stem: place for place in run.held_out} or {"held-out": None}
    return {name: in_task(context, JOB.name, score, run, inputs, place) for name, place in sets.items()}


def score(run: PretrainRun, inputs: Inputs, held_out: Location | None, device: str) -> dict:
    """Ray task: exact maps, in float32, of held-out proteins."""
    import numpy as np

    from protray.plm.masked import load
    from protray.plm.pretraining.corpus import open_corpus
    from protray.plm.quality import map_quality
    from protray.plm.reading import Reading
    from protray.seq.alphabet import N_AA

    if held_out:
        corpus = read_held_out(held_out, run.min_length)
        proteins = [corpus.codes(m) for m in range(len(corpus))]
    else:  # some, by the hashes of their ids, cut to a length that maps can be computed of
        corpus = open_corpus(inputs.corpus.fetch(), "held-out")
        rows = np.argsort(corpus.ids(), kind="stable")[:SCORED_PROTEINS]
        proteins = [corpus.codes(m)[:SCORED_LENGTH] for m in rows]
    lm = load(str((run.out / "model").fetch()), device=device)
    return asdict(map_quality(lm, proteins, Reading())) | frequency_quality(
        proteins, np.array(inputs.summary["amino_acids"][:N_AA])
    )


def frequency_quality(proteins: "list[np.ndarray]", counts_A: "np.ndarray") -> dict[str, float]:
    """The same scores for a guess that knows only how frequent each amino acid is in the training sequences."""
    import numpy as np

    from protray.seq.alphabet import N_AA

    codes = np.concatenate(proteins)
    codes = codes[codes < N_AA]
    prob_A = (counts_A + 1) / (counts_A.sum() + N_AA)
    perplexity = math.exp(-np.log(prob_A[codes]).mean())
    return {"frequency_perplexity": perplexity, "frequency_top1": float((codes == prob_A.argmax()).mean())}


def show(run: PretrainRun, facts: dict) -> None:
    """Say how good the model is, and where it lies."""
    for name, scores in facts["maps"].items():
        plain = f"perplexity {scores['frequency_perplexity']:.2f}, top-1 {scores['frequency_top1']:.3f}"
        print(f"{name}: {scores['proteins']} proteins, one mask per position, against amino-acid frequencies ({plain})")
        print(f"  perplexity {scores['perplexity']:.2f}, top-1 {scores['top1']:.3f}")
    print(f"model   {run.out / 'model'}\ncurve   {run.out / 'curve.png'}\nMLflow  {facts['mlflow_ui']}")


JOB = TrainingJob(
    name="pretrain", seed=lambda run: run.lm.seed, digest=corpus_digest, identity=identity, prepare=prepare,
    stages=stages, settings=settings, loop=loop, finish=finish, show=show, note=note, trial=trial,
    step_of=lambda state: state["position"]["step"],
)  # fmt: skip
