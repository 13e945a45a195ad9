"""What jobs/embed.py will do and about how long.  Cost is counted in pairs of residues, as in `embed_units`.

The network is timed on made-up chains as long as those of the input.
"""

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from protray.cluster.batch.parts import part_file
from protray.cluster.health.estimate import (
    Estimate,
    Line,
    Process,
    Timed,
    Trials,
    mean_rate,
    seconds_for,
    tasks_stage,
    timed,
)
from protray.cluster.runtime.resources import actor_pool, make_plan
from protray.cluster.storage import remote
from protray.data.dataset import parquet_files
from protray.data.embeddings import FOLDER
from protray.data.sample import SAMPLE
from protray.data.structures import FOLDER as STRUCTURES
from protray.data.structures import StructureChain
from protray.pipelines.structure.embed import (
    ANY_CHAIN,
    PART_FILES,
    EmbedRun,
    check_model,
    is_dataset,
    read_manifest,
    settings_of,
)
from protray.pipelines.structure.embed_units import ACTOR_PAIRS
from protray.pipelines.structure.prepare_structures_plan import Files, find_files, time_files
from protray.seq.alphabet import N_AA

SOME = 512  # lengths that travel to a trial
LONGEST = 1000  # residues of a chain that is tried: seconds of a core with the default network
BOND = 3.8  # Å between neighbouring C-alpha atoms
LEAVES_OUT = "starting Ray and its processes (about 10 s on a free machine), reading the dataset"


@remote.kept("model", "structures")
def stages(run: EmbedRun) -> Estimate:
    """Chains that have no embedding in ``run.out`` yet.

    Raises
    ------
    ValueError
        As the job itself does, for a model, input or folder of no use.
    """
    run = replace(run, model=run.model.resolve(), out=run.out.resolve())
    check_model(run)
    stored = read_manifest(run.out, settings_of(run))
    if stored and stored["summary"] and not stored["summary"]["n_again"]:
        return Estimate()
    done = lengths_in(sorted((run.out / FOLDER).glob("*.parquet")))
    given, about = run.structures, False
    files = None if not given or is_dataset(given[0]) else all_files(run)
    with Trials(run.out) as trials:
        lines = []
        if files is None:
            lengths = lengths_in(parquet_files(given[0] / STRUCTURES) if given else [SAMPLE])
            rows, left = len(lengths), np.array([n for id, n in lengths.items() if id not in done], float)
            pairs = float((left**2).sum())
        else:
            parse, parsed = parse_line(trials, run, files)
            lines.append(parse)
            left = np.array([length for one in parsed for length in one.lengths], float)
            share = len(files.all_sizes) / max(sum(one.files for one in parsed), 1)
            rows, about = len(left) * share, True
            pairs = max(0.0, float((left**2).sum()) * share - sum(length**2 for length in done.values()))
        nodes = trials.cluster.nodes
        plan = make_plan([actor_pool("embed", nodes, int(pairs / ACTOR_PAIRS))], nodes)
        rate = None
        if pairs:
            piece = time_embedding, run, tried(left)
            rate = mean_rate(trials.run(plan["embed"], plan.threads("embed"), *piece))
        lines.append(
            Line(
                name="embed", unit="chains", rows=rows, done=min(len(done), rows), about=about, stage=plan["embed"],
                seconds=seconds_for(pairs, rate, plan["embed"].workers),
            )
        )  # fmt: skip
        return trials.estimate(lines, LEAVES_OUT)


def all_files(run: EmbedRun) -> Files:
    """The files of all paths of --structures."""
    found = [find_files(path, run.out / "work" / f"unpacked-{number}") for number, path in enumerate(run.structures)]
    kinds = {"content" in files.items[0] for files in found if files.items}
    if not kinds:
        raise ValueError(f"no structure file in {', '.join(map(str, run.structures))}")
    chosen = [files for files in found if files.items and ("content" in files.items[0]) == max(kinds)]
    return Files(
        [item for files in chosen for item in files.items], [size for files in chosen for size in files.sizes],
        [size for files in found for size in files.all_sizes], any(files.about for files in found),
    )  # fmt: skip


def parse_line(trials: Trials, run: EmbedRun, files: Files) -> tuple[Line, list]:
    """The stage that parses files, and what came of some of them."""
    parsed = time_files(trials, files, ANY_CHAIN)
    n_files, total = len(files.all_sizes), float(sum(files.all_sizes))
    n_parts = -(-n_files // PART_FILES)
    done = sum(part_file(run.out / "work" / "parsed", part).exists() for part in range(n_parts))
    stage = tasks_stage("parse", trials.cluster, n_parts)
    work, seconds = sum(one.work for one in parsed), sum(one.parse_s for one in parsed)
    line = Line(
        name="parse", unit="files", rows=n_files, done=min(n_files, done * PART_FILES), about=files.about, stage=stage,
        parts=f"{done} of {n_parts} parts" if done else "",
        seconds=seconds_for(total * (1 - done / n_parts), work / seconds if work else None, stage.workers),
    )  # fmt: skip
    return line, parsed


def lengths_in(files: list[Path]) -> dict[str, int]:
    """Residues by id, of the chains in tables."""
    found = {}
    for file in files:
        table = pq.read_table(file, columns=["id", "sequence"])
        found |= zip(table["id"].to_pylist(), map(len, table["sequence"].to_pylist()), strict=True)
    return found


def tried(lengths: np.ndarray) -> np.ndarray:
    """Some of the lengths, drawn in proportion to what they cost, but for the longest."""
    usual = np.minimum(lengths, LONGEST)
    return np.random.default_rng(0).choice(usual, SOME, p=usual**2 / (usual**2).sum()).astype(int)


def time_embedding(process: Process, run: EmbedRun, lengths: np.ndarray) -> Timed:
    """Pairs of residues of made-up chains that are embedded and written, into a folder that is removed."""
    import torch

    from protray.inference.embed import Embedder
    from protray.inference.embed_part import write_embeddings

    process.use_torch()
    torch.backends.cudnn.allow_tf32 = False
    embedder = Embedder.open(remote.pull(run.model), run.noise, process.device)
    rng = np.random.default_rng(process.rank)

    def chain(length: int) -> StructureChain:
        steps_L3 = rng.standard_normal((length, 3))
        ca_L3 = np.cumsum(BOND * steps_L3 / np.linalg.norm(steps_L3, axis=1, keepdims=True), axis=0)
        codes_L = rng.integers(0, N_AA, length, dtype=np.uint8)
        return StructureChain("made up", codes_L, np.arange(length, dtype=np.int32), ca_L3.astype(np.float32))

    with tempfile.TemporaryDirectory() as folder:

        def pieces() -> Iterator[float]:
            for length in itertools.cycle(lengths[process.rank :: min(process.of, len(lengths))].tolist()):
                write_embeddings(embedder, [chain(length)], run.level, Path(folder) / "part.parquet")
                yield float(length**2)

        return timed(pieces(), process.seconds)
