"""Runs of jobs/distil.py on fourteen real chains with a tiny, random language model; the numbers mean nothing."""

import pyarrow.parquet as pq
from tiny import tiny_proteins
from tiny_model import save_tiny_lm

from protray.data.location import Location
from protray.pipelines.secondary.distil import DistilRun

Inputs = tuple[Location, str]


def make_inputs(folder: Location) -> Inputs:
    """A prepared dataset and a language model."""
    with (folder / "data" / "proteins" / "part-0.parquet").writing() as partial:
        pq.write_table(tiny_proteins().table, partial)
    (folder / "data" / "dataset.json").write_json({"digest": "tiny"})
    return folder / "data", str(save_tiny_lm((folder / "lm").path))


def run_of(inputs: Inputs, out: Location, **settings: object) -> DistilRun:
    return DistilRun(**({"data": inputs[0], "lm": inputs[1], "out": out, "lm_features": "hidden"} | settings))  # type: ignore[arg-type]
