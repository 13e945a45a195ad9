"""What a job on Ray Data is: rows in, rows out.  Light: `--help` needs no torch and no Ray.

A `BatchJob` says what is computed, `protray.cluster.batch.driver.run_batch` how: the same behaviour for every job.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from protray.data.location import Location
from protray.seq.errors import InputError

Row = dict[str, Any]  # what a job reads: a protein, a file, ...


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """What every job on Ray Data takes."""

    out: Location
    """Folder to write to (on several nodes one that all of them share), or an s3:// or gs:// address."""
    actors: int | None = None
    """Processes at most; default: one per GPU, or as many as CPUs and memory hold."""
    cpus_per_actor: float | None = None
    """CPUs, and threads, of each; default: 1, or 0.5 on a machine of two, where two actors share what one leaves."""
    max_rejected: float = 0.1
    """Share of the input that may be unusable; with more, the job fails."""
    plan: bool = False
    """Print stages, resources, estimated rows/s and hours, and stop; nothing is written."""

    @property
    def work(self) -> Location:
        """Where unfinished work is kept; removed at the end."""
        return self.out / "work"

    @property
    def summary(self) -> Location:
        """Written last: it says that all is done."""
        return self.out / "summary.json"

    @property
    def rejected(self) -> Location:
        return self.out / "rejected.parquet"

    def folder(self, table: str) -> Location:
        """Of the files of finished rows."""
        return self.out / table

    def result(self, table: str) -> Location:
        """What users look at."""
        return self.folder(table)

    def start_over(self, table: str) -> None:
        """Remove what the job has made."""
        for place in (self.summary, self.work, self.rejected, self.folder(table)):
            place.remove()

    @property
    def is_new(self) -> bool:
        """Whether the output folder holds nothing but a list of rejects."""
        return not (self.out.is_file() or (self.out.is_dir() and set(self.out.files()) - {self.rejected}))

    def check_new(self) -> None:
        """Raise ValueError if the output folder holds something else than a list of rejects."""
        if not self.is_new:
            raise ValueError(f"{self.out} exists, and no such job has made it; choose another --out, or remove it")

    def check(self) -> None:
        """Raise ValueError for numbers that cannot be."""
        if self.actors is not None and self.actors < 1:
            raise ValueError(f"--actors is {self.actors}; it must be at least 1")
        if self.cpus_per_actor is not None and self.cpus_per_actor <= 0:
            raise ValueError(f"--cpus-per-actor is {self.cpus_per_actor}; it must be above 0")
        if not 0 <= self.max_rejected <= 1:
            raise ValueError(f"--max-rejected is {self.max_rejected}; it is a share and must lie between 0 and 1")


@dataclass(frozen=True)
class Span:
    """A row, or positions `start` to `stop` - 1 of one that is too long for one work item (`stop` 0: all of it)."""

    number: int  # of the row, in the order of the input
    row: Row
    start: int = 0
    stop: int = 0

    @property
    def name(self) -> str:
        """Names are in the order of the input, and the same whenever the input is the same."""
        return f"{self.number:010d}-{self.start:08d}"


@dataclass
class Done:
    """What became of the spans of a work item."""

    # columns of the job, and `number` and `start` of the span, or of the part of it, in this order; what would fill
    # the memory may be a table in a file (`protray.data.arrow.spooled`)
    rows: pa.Table
    rejected: list[InputError] = field(default_factory=list)
    again: list[tuple[Span, str]] = field(default_factory=list)  # to be tried alone, and why
    counts: Counter[str] = field(default_factory=Counter)  # decisions to be added up
    left_out: list[InputError] = field(default_factory=list)  # by choice: listed, but not counted as unusable

    @classmethod
    def of(cls, rows: list[dict], schema: pa.Schema, rejected: list[InputError]) -> "Done":
        """Rows of `schema`, each with `number` and `start`."""
        return cls(pa.Table.from_pylist(rows, schema=placed(schema)), rejected)


def placed(schema: pa.Schema) -> pa.Schema:
    """The same behind the `number` and `start` that rows of a work item begin with."""
    return pa.schema([("number", pa.int64()), ("start", pa.int32()), *schema])


@dataclass(frozen=True)
class Settled:
    """What is known only when all rows are there: columns to add, by `number` and `start`; other rows are left out."""

    columns: pa.Table
    rejected: list[InputError]
    facts: dict


@dataclass(frozen=True)
class Amount:
    """How many rows there are and what they cost, for a plan."""

    rows: float
    cost: float
    exact: bool = True
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """Functions of the settings `run` (a `BatchSettings`) and of rows; all of them at the top of a module."""

    name: str  # in progress and plan
    unit: str  # what a row is, in the plural
    table: str  # folder of the finished rows in --out
    source: pa.StructType  # of a row
    identity: Callable[[Any], dict]  # all that the result depends on; ValueError for unusable settings
    grows: tuple[str, ...] = ()  # names in it of inputs that may change: then what changed is made anew
    rows: Callable[[Any], Iterator[Row | InputError]]
    cost: Callable[[Any, Row], float]  # about the seconds of one CPU core
    open: Callable[[Any, str], Any] = lambda run, device: run  # what `work` needs, made once in every actor
    work: Callable[[Any, list[Span]], Done]  # OSError: of a disk or network, never the fault of a row
    schema: Callable[[Any], pa.Schema]  # of the finished rows
    memory: Callable[[Any], int] = lambda run: 0  # bytes of an actor
    timed: bool = True  # whether trials may call `work`; if not (it writes files), `cost` is taken at its word
    cut: Callable[[Any, Row, float], list[tuple[int, int]]] | None = None  # a row into spans of at most that cost
    merge: Callable[[pa.Table], pa.Table] | None = None  # rows of spans, in order, into finished rows
    finish: Callable[[pa.Table], pa.Table] | None = None  # rows that stay, some at a time, in order: the last step
    names: tuple[str, ...] = ()  # columns that `settle` needs
    settle: Callable[[Any, pa.Table], Settled] | None = None
    amount: Callable[[Any], Amount] | None = None  # where counting all rows would take long
    conclude: Callable[[Any, list[Location], dict], dict] | None = None  # (run, finished files, summary): last facts
    shown: Callable[[Any, dict], dict[str, object]] | None = None  # lines to print of the summary


def no_input(job: BatchJob, run: Any) -> ValueError:
    """Says that there are no rows, and where: in all paths among the settings, but for the output and a model."""
    given = [value for name, value in vars(run).items() if name not in ("out", "model")]
    each = [one for value in given for one in (value if isinstance(value, tuple) else (value,))]
    paths = [str(one) for one in each if isinstance(one, Location)]
    return ValueError(f"there is nothing to work on: no {job.unit} in {', '.join(paths) or 'the input'}")
