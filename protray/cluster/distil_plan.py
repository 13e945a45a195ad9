"""What jobs/distil.py will do and about how long: the maps, then one training after another.

Epochs are timed on a few proteins of the dataset with made-up maps.  The first one costs more than the others, which
find the PSSMs that never change and the teacher's outputs computed.
"""

import statistics
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from protray.cluster import remote
from protray.cluster.checkpoints import Checkpoints
from protray.cluster.distil import make_plan, prepared, slug
from protray.cluster.distil_run import DistilRun, belongs, check_elastic, data_digest, digest, stored_metrics
from protray.cluster.estimate import EnoughError, Estimate, Line, Seat, Ticks, Trials, spread
from protray.cluster.lengths import Lengths
from protray.cluster.map_units import MapConfig
from protray.cluster.prob_maps_plan import maps_line
from protray.cluster.shards import Manifest
from protray.cluster.trainer import KEEP_FREED_MEMORY
from protray.data import schemas
from protray.data.dataset import Proteins, parquet_files
from protray.data.features import FeatureConfig
from protray.data.sample import sample_table
from protray.plm.masked import has_bf16
from protray.plm.shipped import absolute, check_present, fingerprint, resolve
from protray.seq.alphabet import N_AA
from protray.training.secondary.session import is_finished, stage_keys, train_stage
from protray.training.secondary.stages import Stage, build, check_splits, training_rows
from protray.training.world import World

BATCHES = 4  # global batches of an epoch that is timed
COLUMNS = ["id", "sequence", "split", "msa_count", "ss3"]  # what is read of all proteins
LEAVES_OUT = (
    "starting Ray and its processes (about 10 s on a free machine), reading the dataset, predictions, tables and the "
    "report, MLflow; several workers also send each other gradients"
)


@remote.kept("data")
def stages(run: DistilRun) -> Estimate:
    """Maps and trainings that are missing in ``run.out``.

    Raises
    ------
    ValueError
        As the job itself does, for settings, data or a folder of no use, and a plan that would wait for ever.
    """
    check_elastic(run.workers, run.min_workers)
    check_present(run.lm)
    inputs = {"data": data_digest(run.data), "lm": fingerprint(run.lm), "features": asdict(run.features)}
    belongs(run)
    if metrics := stored_metrics(run, inputs):
        if set(run.ablate) <= set(metrics["ablations"]):
            return Estimate()
        run = replace(run, ablate=tuple(dict.fromkeys([*metrics["ablations"], *run.ablate])))
    proteins = Proteins(read_columns(run.data))
    check_splits(proteins)
    channels = hidden_width(run.lm) if run.features.lm_hidden else 0
    trainings = run.stages(channels)
    keys, cache = stage_keys(trainings, inputs["data"], inputs["lm"], run.features), run.out / "cache"
    folders = {stage.name: cache / f"{slug(stage.name)}-{keys[stage.name]}" for stage in trainings}
    with Trials(run.out) as trials:
        plan = make_plan(run, trials.cluster)
        config = MapConfig(lm=absolute(run.lm), bf16=has_bf16(), hidden=run.features.lm_hidden)
        known = cache / digest(inputs)
        lengths = Lengths(proteins.lengths, len(proteins), True)
        if prepared(known):
            lines = [Line(name="maps", unit="proteins", rows=len(proteins), done=len(proteins), stage=plan["maps"])]
        else:
            settings = {"language model": fingerprint(run.lm), "hidden": config.hidden}
            manifest = Manifest.read(known / "maps", settings)
            lines = [maps_line(trials, plan, config, lengths, manifest)]
        begun = epochs_done(cache, "train-" + digest([folders[stage.name].name for stage in trainings]))
        seconds = {}
        for stage in trainings:
            rows, fit = training_rows(proteins, stage.train_on), stage.networks.fit
            done = fit.epochs if is_finished(folders[stage.name]) else begun.get(stage.name, 0)
            line = Line(
                name=stage.name, unit=f"proteins, {fit.epochs} times {len(rows)}", rows=fit.epochs * len(rows),
                done=done * len(rows), stage=plan["train"],
            )  # fmt: skip
            alike = replace(stage, name="", train_on="all", after=stage.after and "")
            if line.left and alike not in seconds:
                before = next((other for other in trainings if other.name == stage.after), None)
                few = few_proteins(run.data, proteins, stage, run.workers)
                seconds[alike] = trials.run(
                    plan["train"], plan.threads("train"), time_epochs, stage, before, few, run.features, channels,
                    env=KEEP_FREED_MEMORY,
                )  # fmt: skip
            if line.left:
                residues = float(proteins.lengths[rows].sum())
                line = replace(line, seconds=seconds_of(seconds[alike], residues, fit.epochs - done))
            lines.append(line)
        return trials.estimate(lines, LEAVES_OUT)


def seconds_of(found: list[tuple[float, float]], residues: float, epochs: int) -> float | None:
    """Time of `epochs` on `residues`, from seconds per residue of a first and of a later epoch, of each process."""
    if not found:
        return None
    first, later = (statistics.fmean(column) for column in zip(*found, strict=True))
    return residues * (first + (epochs - 1) * later)


def time_epochs(
    seat: Seat, stage: Stage, before: Stage | None, table: pa.Table, features: FeatureConfig, channels: int
) -> tuple[float, float]:
    """Seconds per training residue of the first epoch and of a later one, on the proteins of `table`.

    Of several workers each computes its share of a batch; that they wait for each other is not in it.
    """
    seat.use_torch()
    fit = stage.networks.fit
    fit = replace(fit, epochs=10**6, per_batch=max(1, fit.per_batch // seat.of))
    stage = replace(stage, networks=replace(stage.networks, fit=fit))
    proteins = Proteins(table, made_up_maps(table, channels))
    step = build(stage, {before.name: build(before, {}).state_dict()} if before else {}).to(seat.device)
    residues = float(proteins.lengths[training_rows(proteins, stage.train_on)].sum())
    ticks = Ticks(seat.seconds)

    def report(metrics: dict, state: dict | None) -> None:
        if (
            state
        ):  # a checkpoint would be written now: next to nothing after an epoch, but not after one as short as this
            ticks.tick()

    with suppress(EnoughError):
        train_stage(stage, step, proteins, features, report, None, World(device=seat.device))
    first, *later = (taken / residues / seat.of for taken in ticks.seconds)
    return first, statistics.median(later or [first])


def few_proteins(data: Path | None, proteins: Proteins, stage: Stage, workers: int) -> pa.Table:
    """Rows of the dataset, whole: some batches that the stage trains on, shallow proteins, and as many of validation.

    They are spread over the lengths, and over the split as a whole.
    """
    rows = training_rows(proteins, stage.train_on)
    validation = proteins.of_split("validation")
    validation = validation[proteins.labelled[validation] > 0]
    train = proteins.of_split("train")
    wanted = min(len(rows), BATCHES * stage.networks.fit.per_batch)
    chosen = {
        *_spread(proteins, rows, wanted),
        *_spread(proteins, validation, max(2, round(wanted * len(validation) / len(rows)))),
        *_spread(proteins, train[~proteins.deep[train]], 2),
        *_spread(proteins, validation[proteins.deep[validation]], 2),
    }
    return whole_rows(data, [proteins.ids[row] for row in sorted(chosen)])


def _spread(proteins: Proteins, rows: np.ndarray, count: int) -> list[int]:
    ordered = rows[np.argsort(proteins.lengths[rows], kind="stable")]
    return [int(ordered[place]) for place in spread(len(ordered), count)]


def read_columns(data: Path | None) -> pa.Table:
    """What tells how much work there is, of all proteins."""
    if data is None:
        return sample_table()
    files = parquet_files(data / "proteins")
    return pa.concat_tables(pq.read_table(file, columns=COLUMNS) for file in files).sort_by("id").combine_chunks()


def whole_rows(data: Path | None, ids: list[str]) -> pa.Table:
    """All columns of some proteins."""
    if data is None:
        table, wanted = sample_table(), set(ids)
        return table.filter(pa.array([id in wanted for id in table["id"].to_pylist()])).combine_chunks()
    files = parquet_files(data / "proteins")
    table = pa.concat_tables(
        (pq.read_table(file, filters=pc.field("id").isin(ids)) for file in files),
        promote_options="permissive",
    )
    schemas.check(table, schemas.PROTEINS, str(data))
    return table.combine_chunks()


def made_up_maps(table: pa.Table, channels: int) -> pa.Table:
    """Maps that say nothing, for proteins that have none yet."""
    lengths = [len(sequence) for sequence in table["sequence"].to_pylist()]
    maps = [np.full(length * N_AA, 1 / N_AA, np.float32) for length in lengths]
    hidden = [np.zeros(length * channels, np.float16) if channels else None for length in lengths]
    columns = [table["id"], table["sequence"], pa.array(maps, schemas.MAPS.field("prob_map").type)]
    columns.append(pa.array(hidden, schemas.MAPS.field("lm_hidden").type))
    return pa.Table.from_arrays(columns, schema=schemas.MAPS)


def hidden_width(lm: str) -> int:
    """Channels of the language model's hidden state."""
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(resolve(lm), trust_remote_code=False).hidden_size)


def epochs_done(cache: Path, name: str) -> dict[str, int]:
    """The stage that a killed run was training, and the epochs of it that are in its last checkpoint."""
    _, state = Checkpoints.of(cache, name).newest()
    return {state["stage"]: state["fit"]["epoch"]} if state else {}
