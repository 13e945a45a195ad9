"""What jobs/pretrain_bert.py will do and about how long: corpus, steps, points of the curve, maps of held-out proteins.

Steps are timed on made-up sequences as long as those of the input.
"""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from protray.cluster.health.estimate import (
    EnoughError,
    Estimate,
    Line,
    Process,
    Ticks,
    Timed,
    Trials,
    mean_rate,
    seconds_for,
    tasks_stage,
    timed,
)
from protray.cluster.storage import remote
from protray.cluster.train.checkpoints import steps_done
from protray.cluster.train.trainer import KEEP_FREED_MEMORY
from protray.data.lengths import Lengths, read_lengths
from protray.pipelines.language_model.map_units import MapConfig
from protray.pipelines.language_model.pretrain import (
    SCORED_LENGTH,
    SCORED_PROTEINS,
    check_held_out,
    make_plan,
    run_name,
    save_model,
)
from protray.pipelines.language_model.pretrain_run import PretrainRun
from protray.pipelines.language_model.prob_maps_plan import draw_by_cost, time_maps
from protray.pipelines.secondary.distil_run import belongs
from protray.plm.architecture import build_model
from protray.plm.corpus import Corpus, pack, read_codes
from protray.plm.encode import Sieve, bundles_of
from protray.plm.masked import has_bf16
from protray.plm.pretraining import MaskedLmConfig
from protray.plm.reading import Reading
from protray.plm.steps import steps, validation_batches
from protray.seq.alphabet import N_AA
from protray.seq.fasta import fasta_files
from protray.training.language_model.masked_lm import fit, validate
from protray.training.world import World

SEQUENCES = 4096  # made up
LEAVES_OUT = (
    "starting Ray and its processes (about 10 s on a free machine), sorting the ids of --clusters, --held-out and "
    "--exclude, writing the corpus, MLflow; several workers also send each other gradients"
)


@remote.kept()
def stages(run: PretrainRun) -> Estimate:
    """What is missing in ``run.out``.

    Raises
    ------
    ValueError
        As the job itself does, for settings, files or a folder of no use, and a plan that would wait for ever.
    """
    run.check()
    belongs(run)
    if run.finished():
        return Estimate()
    check_held_out(run)
    files = fasta_files(run.fasta)
    lengths = read_lengths(files)
    folder = (run.out / "cache" / f"corpus-{run.corpus_digest()}").resolve()
    total, done = run.lm.steps, steps_done(run.out / "cache", run_name(run, folder))
    points = -(-total // run.lm.report_every) - done // run.lm.report_every
    held_out = {path.stem: read_lengths(fasta_files([path])) for path in run.held_out}
    few = made_up(lengths, run.min_length)
    with Trials(run.out) as trials:
        plan = make_plan(run, trials.cluster)
        stage, threads = plan["pre-training"], plan.threads("pre-training")
        lines = [corpus_line(trials, run, files, lengths, folder)]
        rate = mean_rate(trials.run(stage, threads, time_steps, run.lm, few, env=KEEP_FREED_MEMORY))
        lines.append(
            Line(
                name="training", unit=f"steps of {run.lm.tokens_per_step} tokens", rows=total, done=done, stage=stage,
                seconds=seconds_for(total - done, rate),
            )
        )  # fmt: skip
        of_first = next(iter(held_out.values())).total if held_out else lengths.total * run.held_out_share
        scored = int(points * min(run.lm.validation_sequences, of_first))
        rate = mean_rate(trials.run(stage, threads, time_validation, run.lm, few, env=KEEP_FREED_MEMORY))
        lines.append(
            Line(
                name="validation", unit=f"sequences, {points} times", rows=scored, stage=stage,
                seconds=seconds_for(scored, rate, stage.workers),
            )
        )  # fmt: skip
        alone = replace(stage, name="maps of held-out proteins", workers=1, least=None)
        sampled = Lengths(np.minimum(lengths.residues, SCORED_LENGTH), min(SCORED_PROTEINS, of_first), False)
        of_maps = held_out or {"": sampled}
        config = MapConfig(lm="", reading=Reading("bfloat16" if has_bf16() else "float32"))
        for one in of_maps.values():
            drawn, tokens = draw_by_cost(config, one)
            rate = mean_rate(trials.run(alone, threads, time_scores, run.lm, drawn))
            lines.append(
                Line(name=alone.name, unit="proteins", rows=one.total, stage=alone, seconds=seconds_for(tokens, rate))
            )
        return trials.estimate(lines, LEAVES_OUT + (f"; {lengths.note}" if lengths.note else ""))


def corpus_line(trials: Trials, run: PretrainRun, files: list[Path], lengths: Lengths, folder: Path) -> Line:
    """Encoding of the FASTA files, a bundle of them a task."""
    bundles = bundles_of(files)
    sizes = [sum(file.stat().st_size for file in bundle) for bundle in bundles]
    there = [(folder / f"bundle-{number:05d}.json").is_file() for number in range(len(bundles))]
    share = sum(size for size, done in zip(sizes, there, strict=True) if done) / max(sum(sizes), 1)
    if (folder / "corpus.json").is_file():
        share = 1.0
    stage = tasks_stage("corpus", trials.cluster, max(1, len(bundles) - sum(there)))
    residues = lengths.sum(lengths.residues) * (1 - share)
    rate = mean_rate(trials.run(stage, 1, time_encoding, files, run.min_length)) if share < 1 else None
    return Line(
        name="corpus", unit="sequences", rows=lengths.total, done=share * lengths.total, about=not lengths.exact,
        parts=f"{sum(there)} of {len(bundles)} bundles" if any(there) and share < 1 else "", stage=stage,
        seconds=seconds_for(residues, rate, stage.workers),
    )  # fmt: skip


def made_up(lengths: Lengths, min_length: int) -> Corpus:
    """Sequences of such lengths."""
    rng = np.random.default_rng(0)
    usable = lengths.residues[lengths.residues >= min_length]
    if not len(usable):
        raise ValueError(f"no sequence of {lengths.total:.0f} has {min_length} residues")
    drawn = rng.choice(usable, SEQUENCES).tolist()
    codes = [rng.integers(0, N_AA, length, dtype=np.uint8) for length in drawn]
    return Corpus([pack([str(number) for number in range(SEQUENCES)], codes)])


def time_encoding(process: Process, files: list[Path], min_length: int) -> Timed:
    """Residues that are read and sorted out; each process begins with another file."""
    sieve = Sieve(min_length=min_length)

    def pieces() -> Iterator[float]:
        for file in itertools.cycle(files[process.rank % len(files) :] + files[: process.rank % len(files)]):
            for name, codes_L in read_codes([file]):
                sieve.place(name, codes_L)
                yield float(len(codes_L))

    return timed(pieces(), process.seconds)


def time_steps(process: Process, config: MaskedLmConfig, corpus: Corpus) -> Timed:
    """This worker's share of steps; that workers wait for each other, and torch.compile, are not in it."""
    process.use_torch()
    config = replace(config, steps=10**9, report_every=1, checkpoint_every=10**9, compile=False)
    ticks = Ticks(process.seconds)
    with suppress(EnoughError):
        fit(
            config, lambda epoch, index: steps(corpus, config, epoch, index, process.rank, process.of), [],
            lambda metrics, state: ticks.tick(), None, World(device=process.device),
        )  # fmt: skip
    return ticks.timed


def time_validation(process: Process, config: MaskedLmConfig, corpus: Corpus) -> Timed:
    """Sequences that are scored."""
    process.use_torch()
    model, bf16 = build_model(config).to(process.device), config.bf16 and has_bf16()
    batches = validation_batches(corpus, config)
    order = np.random.default_rng(0).permutation(len(batches)).tolist()

    def pieces() -> Iterator[float]:
        for number in itertools.cycle(order):
            validate(model, [batches[number]], bf16, World(device=process.device))
            yield float(len(batches[number].tokens_BT))

    return timed(pieces(), process.seconds)


def time_scores(process: Process, config: MaskedLmConfig, lengths: np.ndarray) -> Timed:
    """Forward tokens of maps, by a model that has learnt nothing."""
    with tempfile.TemporaryDirectory() as folder:
        save_model(config, build_model(config).state_dict(), Path(folder))
        return time_maps(process, MapConfig(lm=folder, bf16=has_bf16()), lengths)
