"""The command of the doctor: a table of checks, and 1 as exit status if one failed."""

from protray.cluster.health.doctor import DoctorRun
from protray.cluster.runtime.command import run_command


def doctor_command(description: str | None, argv: list[str] | None = None) -> int:
    """Look at the cluster from the command line; returns the exit status."""
    return run_command(DoctorRun, _work, description, argv)


def _work(run: DoctorRun) -> int:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from protray.cluster.health.doctor import examine

    found, console = examine(run), Console()
    table = Table("check", "", "found", "what to do", show_lines=True)
    colours = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    for check in found:
        table.add_row(
            Text(check.check), Text(check.state, style=colours[check.state]), Text(check.found), Text(check.fix)
        )
    (console if console.is_terminal else Console(width=140)).print(table)
    return int(any(check.state == "fail" for check in found))
