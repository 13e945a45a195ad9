"""Check a cluster before money is spent on it.

    python jobs/doctor.py --out runs/mine
    ray job submit --working-dir . -- python jobs/doctor.py --out /shared/runs/mine --mlflow http://mlflow:5000

Looks, from every node that is up, at versions, token, --out (one folder for all, writable), MLflow, GPUs, /dev/shm,
open files and clocks, and at what an upload of --working-dir would weigh; says how to mend what is wrong.  The exit
status is 1 if a check failed; a warning leaves it at 0.  Nothing of it stays in --out.
"""

import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    import tyro

    from protray.cluster.health.checks import Verdict
    from protray.cluster.health.doctor import DoctorRun, examine
    from protray.cluster.runtime.job import run_job
    from protray.cluster.runtime.start import setup_logging

    run = tyro.cli(DoctorRun, args=argv, description=__doc__)
    setup_logging()
    found: list[Verdict] = []
    status = run_job(lambda: found.extend(examine(run)), Path(run.out))
    print_verdicts(found)
    return status or int(any(verdict.state == "fail" for verdict in found))


def print_verdicts(found: list) -> None:
    """Print one line per check."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table("check", "", "found", "what to do", show_lines=True)
    colours = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    for verdict in found:
        state = Text(verdict.state, style=colours[verdict.state])
        table.add_row(Text(verdict.check), state, Text(verdict.found), Text(verdict.fix))
    if found:
        (console if console.is_terminal else Console(width=140)).print(table)


if __name__ == "__main__":
    sys.exit(main())
