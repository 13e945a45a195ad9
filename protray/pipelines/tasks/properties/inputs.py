"""The rows of a task's table: what becomes of those that cannot be used, their structures, and their embeddings."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.storage import rejects
from protray.cluster.storage.rejects import rejected_table
from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import writing
from protray.data.tasks.observed import STRUCTURE, side_chains_used
from protray.pipelines.tasks.embedding import Embedding
from protray.pipelines.tasks.embeddings import embed_proteins
from protray.seq.errors import InputError

if TYPE_CHECKING:
    from protray.data.tasks.tables import TaskRow


def check_rejected(out: Location, errors: Sequence[InputError], used: int, what: str = "rows") -> None:
    """List unusable rows in ``OUT/rejected.parquet``; then ValueError if they are more than a tenth."""
    (out / "rejected.parquet").remove()
    if errors:
        with (out / "rejected.parquet").writing() as path:
            pq.write_table(rejected_table(errors), path)
        rejects.check_rejected(out, what, used)


def observed_table(folder: Location, rows: "Sequence[TaskRow]") -> Location:
    """Write the residues with coordinates of all rows that have a structure, as ``schemas.STRUCTURES`` has them.

    Without side chains where fewer than half have any (`side_chains_used`).
    """
    found = [{"id": row.id, "sequence": row.observed.sequence} | row.observed.stored for row in rows if row.observed]
    if not side_chains_used(row.observed for row in rows):
        found = [one | {"sidechains_cA": None} for one in found]
    fields = [schemas.STRUCTURES.field(name) for name in ("id", "sequence", *STRUCTURE)]
    table = pa.Table.from_pylist(found, schema=pa.schema(fields))
    with (folder / "structures.parquet").writing() as path:
        pq.write_table(table, path, row_group_size=500, **writing(table.schema))
    return folder / "structures.parquet"


def embed_rows(
    out: Location, embeddings: Mapping[str, Embedding], examples: Location, structures: Location
) -> dict[str, Location]:
    """Embed the rows' proteins as far as that is not done yet: means and deviations, by the names of the embeddings.

    Models of structures read `structures`, language models `examples`.
    """
    return {
        name: embed_proteins(out, [structures if embedding.of_structures else examples], embedding, "statistics")
        for name, embedding in embeddings.items()
    }
