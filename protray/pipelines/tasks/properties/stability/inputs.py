"""The settings of a stability run, and its measurements: read, split, embedded.  Light: `--help` needs no torch."""

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from protray.cluster.storage.identity import digest
from protray.data.location import Location
from protray.models.tasks.head_config import Kind
from protray.pipelines.tasks.properties.heads import HeadInputs, HeadRun, head_identity
from protray.pipelines.tasks.properties.inputs import check_rejected, embed_rows, observed_table
from protray.pipelines.tasks.properties.mutants import embed_mutants, width_of, write_mutants

if TYPE_CHECKING:
    from protray.data.tasks.stability import Measurements
    from protray.seq.errors import InputError

log = logging.getLogger(__name__)

Task = Literal["msp", "thermostability", "ddg"]
EXAMPLES = {
    "thermostability": "id,sequence,value\none,MKVLAAGGHHTW...,52.5\ntwo,MRNDCEGILKMF...,61.0",
    "ddg": 'id,sequence,mutation,value\n1,MKVLAAGGHHTW...,L4A,1.5\n2,MKVLAAGGHHTW...,"K2R,W12F",-0.3',
    "msp": 'id,structure,mutation,value\n1,one.pdb,A:L4A,2.5\n2,one.pdb,"A:K2R,B:W12F",-0.3',
}
SAYS = {
    "thermostability": "melting temperatures of whole proteins, in degrees",
    "ddg": "changes of stability by mutations (position in the sequence from 1), of either sign, in any unit",
    "msp": "changes of the free energy of binding by mutations of chains, in kcal/mol, positive where it binds worse",
}


@dataclass(frozen=True, kw_only=True)
class StabilityRun(HeadRun):
    """Which measurements to predict, and where to write."""

    task: Task
    """Melting temperatures of proteins; effects of mutations on their stability (ddg), of any sign; or whether a
    mutant of a complex binds better (msp)."""
    data: Location | None = None
    """A table, CSV or Parquet: id, sequence, value; with mutations (A42G) for ddg; and for msp id, structure (a file of
    the complex), mutation (L:A42G), value.  Optional: structure, split, cluster.  It is needed: no measurement is in
    the package."""
    out: Location = Location("runs/stability")
    """Folder to write to (on several nodes one that all of them share), or an s3:// or gs:// address."""
    split_seed: int = 0
    """Of the split, where the table has none."""

    def check(self) -> None:
        if self.data is None:
            raise ValueError(
                f"--task {self.task} needs --data, a table of {SAYS[self.task]}; such as\n{EXAMPLES[self.task]}"
            )
        super().check()

    @property
    def structured(self) -> bool:
        return any(row.observed for row in measurements_of(self)[0].rows)

    @property
    def kind(self) -> Kind:
        return "labels" if self.task == "msp" else "value"

    @property
    def of_mutations(self) -> bool:
        return self.task != "thermostability"

    @property
    def can_learn(self) -> str:
        if self.of_mutations:
            return "give a joint encoder of jobs/ssdm.py to --model, or --random; language models learn no mutations"
        return super().can_learn

    @property
    def tuned(self) -> dict[str, str]:
        """As of any head; of mutations no language model, whose log-odds would need a pass for each site."""
        found = super().tuned
        return {row: name for row, name in found.items() if not self.of_mutations or name in self.nets}


@cache
def _read(data: Location, task: Task, seed: int) -> "tuple[Measurements, list[InputError]]":
    from protray.data.tasks.stability import check_both_kinds, read_measurements

    found, errors = read_measurements(data, task, seed)
    if task == "msp":
        check_both_kinds(found, data)
    return found, errors


def measurements_of(run: StabilityRun) -> "tuple[Measurements, list[InputError]]":
    """Measurements that can be used, and an error for each row that cannot."""
    assert run.data is not None, "`check` asks for it"
    return _read(run.data, run.task, run.split_seed)


def data_digest(run: StabilityRun) -> str:
    return measurements_of(run)[0].digest


def identity(run: StabilityRun) -> dict:
    return head_identity(run) | {"task": run.task, "data": digest([data_digest(run)]), "split_seed": run.split_seed}


def width(run: StabilityRun, name: str) -> int:
    """Numbers of the vector of an embedding."""
    embedding = run.embeddings[name]
    return width_of(embedding) if run.of_mutations else embedding.width


def folder_of(run: StabilityRun) -> Location:
    """Where tables of the measurements are written."""
    return run.out / "cache" / "measurements"


def prepared(run: StabilityRun) -> HeadInputs:
    """Write the examples, and embed proteins or mutants, as far as that is not done yet.

    Raises
    ------
    ValueError
        If more than a tenth of the rows cannot be used.
    """
    found, errors = measurements_of(run)
    check_rejected(run.out, errors, len(found.rows))
    log.info("%d measurements: %s (train, validation, test)", len(found.rows), found.sizes())
    folder = folder_of(run)
    examples, mutants = folder / "examples.parquet", folder / "mutants.parquet"
    found.write(examples)
    structures = None
    if not run.of_mutations:
        structures = observed_table(folder, found.rows)
        vectors = embed_rows(run.out, run.embeddings, examples, structures)
    else:
        write_mutants(mutants, found.mutants)
        vectors = {name: embed_mutants(run.out, mutants, embedding) for name, embedding in run.embeddings.items()}
    of_rows = {name: [vectors[part] for part in parts] for name, parts in run.rows.items()}
    return HeadInputs(examples, of_rows, structures, mutants if run.of_mutations else None)
