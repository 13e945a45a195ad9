"""What jobs/pseudo_msa.py will do and about how long."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

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
from protray.cluster.storage import remote
from protray.data import schemas
from protray.pipelines.language_model.pseudo_msa import PseudoRun, Unit, opened, rows_of, write_rows
from protray.seq.msa import InputError

PIECE = 16  # proteins
LEAVES_OUT = "starting Ray and its processes (about 10 s on a free machine), looking for repeated ids"


@remote.kept("maps", skip="msas")
def stages(run: PseudoRun) -> Estimate:
    """Units that are missing in ``run.out``.

    Raises
    ------
    ValueError
        As the job itself does, for options, maps or a folder of no use.
    """
    units, missing = opened(run)
    if not missing:
        return Estimate()
    total, left = (sum(unit.proteins for unit in some) for some in (units, missing))
    with Trials(run.out) as trials:
        stage = tasks_stage("pseudo-PSSMs", trials.cluster, min(len(missing), run.workers or len(missing)))
        rate = mean_rate(trials.run(stage, 1, time_units, replace(run, maps=run.maps.resolve()), missing))
        line = Line(
            name=stage.name, unit="proteins", rows=total, done=total - left, stage=stage,
            parts=f"{len(units) - len(missing)} of {len(units)} units" if left < total else "",
            seconds=seconds_for(left, rate, stage.workers),
        )  # fmt: skip
        return trials.estimate([line], LEAVES_OUT)


def time_units(process: Process, run: PseudoRun, units: list[Unit]) -> Timed:
    """Proteins that are read, drawn for and written, into a folder that is removed."""
    with tempfile.TemporaryDirectory() as folder:

        def pieces() -> Iterator[float]:
            errors: list[InputError] = []
            for unit in units[process.rank % len(units) :] + units[: process.rank % len(units)]:
                rows = rows_of(replace(run, out=Path(folder)), unit, errors)
                while some := list(islice(rows, PIECE)):
                    write_rows(iter(some), Path(folder) / "part.parquet", schemas.PSEUDO_PSSMS)
                    yield float(len(some))

        return timed(pieces(), process.seconds)
