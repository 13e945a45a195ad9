"""What a plan reads of a dataset: how much work there is, and a few whole proteins to time a training on."""

import functools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from protray.cluster.health.estimate import spread
from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import naming, read_parquet
from protray.data.sample import SAMPLE, sample_table
from protray.data.secondary.dataset import Proteins, joined, parquet_files, with_unlabelled
from protray.seq.alphabet import N_AA
from protray.seq.secondary import to_three

BATCHES = 4  # global batches of an epoch that is timed


def counted(data: Location | None, unlabelled: Location | None = None) -> Proteins:
    """What tells how much work there is, of all proteins."""
    if data is None:
        table = pq.read_table(SAMPLE, columns=["id", "sequence", "split", "msa_rows", "ss8"])
        labels = pa.array([to_three(ss8) for ss8 in table["ss8"].to_pylist()])
        homologs = pa.array(table["msa_rows"].to_numpy() - 1)
        table = table.append_column("msa_count", homologs).append_column("ss3", labels)
    else:
        table = _read(data)
    if unlabelled is not None:
        table = with_unlabelled(table, _read(unlabelled))
    return Proteins(table.sort_by("id").combine_chunks())


def _read(data: Location) -> pa.Table:
    columns = ["id", "sequence", "split", "msa_count", "ss3"]
    return pa.concat_tables(read_parquet(file, columns) for file in parquet_files(data / "proteins"))


@functools.cache
def few_proteins(data: Location | None, per_batch: int, channels: int) -> Proteins:
    """Some batches of training proteins and as many of validation, spread over all lengths, with made-up maps."""
    from protray.training.secondary.stages import training_rows

    proteins = counted(data)
    train, validation = training_rows(proteins, "all"), proteins.of_split("validation")
    validation = validation[proteins.labelled[validation] > 0]
    count = min(len(train), BATCHES * per_batch)

    def some(rows: np.ndarray, most: int) -> set[str]:
        ordered = rows[proteins.lengths[rows].argsort(kind="stable")]
        return {proteins.ids[ordered[place]] for place in spread(len(ordered), most)}

    deep = proteins.deep
    ids = some(train, count) | some(validation, max(2, round(count * len(validation) / len(train))))
    ids |= some(train[deep[train]], 2) | some(train[~deep[train]], 2) | some(validation[deep[validation]], 2)
    table = _whole_rows(data, ids)
    return joined(table, made_up_maps(table, channels))


def _whole_rows(data: Location | None, ids: set[str]) -> pa.Table:
    """All columns of some proteins."""
    if data is None:
        table = sample_table()
        return table.filter(pa.array([name in ids for name in table["id"].to_pylist()])).combine_chunks()
    tables = []
    for part in parquet_files(data / "proteins"):
        with naming(part, "make its folder anew"), part.open() as file:
            tables.append(pq.read_table(file, filters=pc.field("id").isin(list(ids))))
    table = pa.concat_tables(tables, promote_options="permissive")
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
