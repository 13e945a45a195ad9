"""GDT_TS of models from their vectors by a joint encoder, frozen or trained on, as the field's PSR asks for it.

``OUT/cache/tuned``  decoys whose GDT_TS is known, as ``schemas.EXAMPLES`` and with their structures
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import read_parquet, writing
from protray.data.tasks.examples import read_rows, read_statistics, write_examples
from protray.evaluation.cells import cell
from protray.evaluation.tasks.properties.read_outs import LINEAR
from protray.evaluation.tasks.quality.scores import global_row
from protray.evaluation.tasks.quality.tables import COLUMNS
from protray.pipelines.tasks.embeddings import embed_proteins
from protray.pipelines.tasks.quality.inputs import QualityRun
from protray.pipelines.tasks.tuned.examples import examples_of
from protray.pipelines.tasks.tuned.models import tuned_predictions
from protray.pipelines.tasks.tuned.settings import TunedInputs
from protray.pipelines.tasks.tuned.training import started

if TYPE_CHECKING:
    from protray.data.tasks.examples import Rows

SCORE = "gdt_ts"
STORED = ("id", "sequence", "index", "backbone_cA")


def prepare_tuned(run: QualityRun, decoys: Location) -> TunedInputs | None:
    """Write the examples and embed their structures, as far as that is not done; None where nothing is trained on."""
    if not run.tuned:
        return None
    names = [*STORED, "target", "split", SCORE]
    table = pa.concat_tables(read_parquet(file, names) for file in decoys.files("*.parquet"))
    table = table.filter(table[SCORE].is_valid())
    folder = run.out / "cache" / "tuned"
    columns = {name: table[name].to_pylist() for name in ("id", "sequence", "split")}
    columns |= {"cluster": table["target"].to_pylist(), "sets": [[] for _ in range(len(table))]}
    write_examples(folder / "examples.parquet", columns, table[SCORE].to_numpy()[:, None])
    stored = pa.schema([schemas.STRUCTURES.field(name) for name in STORED])
    structures = tuned_structures(run)
    with structures.writing() as path:
        pq.write_table(table.select(STORED).cast(stored), path, row_group_size=500, **writing(stored))
    vectors = {net: [embed_proteins(run.out, [structures], run.embeddings[net], "statistics")]
               for net in run.tuned.values()}  # fmt: skip
    return TunedInputs(folder / "examples.parquet", vectors, structures)


def tuned_structures(run: QualityRun) -> Location:
    """Where the structures of decoys are written that encoders are trained on with."""
    return run.out / "cache" / "tuned" / "structures.parquet"


def tuned_rows(run: QualityRun, inputs: TunedInputs, state: dict, device: str) -> list[dict[str, Any]]:
    """Ray task: GDT_TS of the test decoys by the frozen encoders and those that were trained on, a row for each."""
    from protray.training.tasks.properties.fine_tune import predict

    test, found = read_rows(inputs.examples, "test"), {}
    for net in run.tuned.values():
        folders = inputs.vectors[net]
        frozen, _, _ = started(run.embeddings[net], folders, inputs, "value", run.fine)
        chains = examples_of(run.embeddings[net], inputs, test, read_statistics(folders, test.ids))
        found[f"{net}, {LINEAR}"] = predict(frozen, chains, device)
    found |= {name: one for name, (one,) in tuned_predictions(run, inputs, state, [test], "value", device).items()}
    return [{"method": name} | _row(run, test, found_N1[:, 0].astype(float)) for name, found_N1 in found.items()]


def _row(run: QualityRun, test: "Rows", found_N: np.ndarray) -> dict[str, Any]:
    return global_row(found_N, test.target_NT[:, 0].astype(float), test.clusters, seed=run.fit.seed)


def tuned_lines(rows: list[dict[str, Any]]) -> tuple[str, list[str], list[list[str]]]:
    """Title, header and lines of a table of them."""
    title = f"GDT_TS from a model's vector, {rows[0]['decoys']} decoys of {rows[0]['targets']} targets"
    return title, ["", *COLUMNS.values()], [[row["method"], *(cell(row, name) for name in COLUMNS)] for row in rows]
