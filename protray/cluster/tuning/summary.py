"""What jobs/tune.py prints: the plan of a sweep, and its outcome."""

from protray.cluster.tuning.settings import SweepRun
from protray.plots.sweep.sweep_report import headline

SHOWN = 15  # rows of the table; the report has them all


def print_plan(run: SweepRun, found: dict) -> None:
    """Print what `protray.cluster.tuning.sweep.plan_sweep` found."""
    from rich.console import Console

    lines = [f"{number:4d}  {name}" for number, name in enumerate(found["trials"])]
    lines += [
        found["plan"],
        f"trials  {found['count']}, {found['done']} of them done; then {found['repeats']} with fresh seeds",
        f"time    about {found['hours']:.2g} h: {found['based_on']}",
        f"out     {run.out}",
    ]
    for line in lines:
        Console().print(line, soft_wrap=True, highlight=False, markup=False)


def print_sweep(run: SweepRun, metrics: dict) -> None:
    """Print the table, the conclusion, and where everything lies."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=140)  # of a pipe; cut-off numbers help nobody
    title = f"{metrics['metric']}, {metrics['table'][0]['n']} {metrics['scored']} that choose"
    table = Table(box=None, title=title, title_justify="left")
    names = [setting.split(".")[-1] for setting in metrics["table"][0]["point"]]
    for name in ("", *names, "score", "95 % interval", "to the paper's"):
        table.add_column(name, justify="right")
    for number, row in enumerate(metrics["table"], start=1):
        if number <= SHOWN or row["paper"]:
            low, high = row["ci95"]
            table.add_row(
                f"{number}{' ★' if row['paper'] else ''}",
                *(f"{value:g}" if isinstance(value, float) else str(value) for value in row["point"].values()),
                f"{row['score']:.4f}",
                "" if low is None else f"[{low:.3f}, {high:.3f}]".replace("[", "\\["),
                "" if row["gain"] is None else f"{row['gain']:+z.4f}",
                style="bold" if row["paper"] else None,
            )
    console.print(table)
    for sentence in headline(metrics):
        console.print(sentence, highlight=False, markup=False)
    for row in metrics["not_finished"]:
        console.print(
            f"{row['status']}: {row['name']} ({row['reason'] or 'ended early'}); to try it again, remove "
            f"{(run.out / row['folder'])}", soft_wrap=True, highlight=False, markup=False,
        )  # fmt: skip
    lines = [f"report    {(run.out / 'report.html')}", f"model     {(run.out / 'model')}: {metrics['best']}"]
    if metrics["champion"]:
        lines.append(f"champion  {metrics['champion']}")
    for line in [*lines, f"compare   {metrics['mlflow_ui']}"]:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if not metrics["complete"]:
        console.print("not all trials are done; the same command continues")
