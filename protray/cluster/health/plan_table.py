"""What ``--plan`` prints: a table of stages, and what it stands on."""

from protray.cluster.health.estimate import Estimate, Line
from protray.cluster.runtime.resources import Stage, amount
from protray.cluster.runtime.start import Cluster


def print_estimate(out: str, estimate: Estimate) -> None:
    """Print the table and what it stands on."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=140)  # of a pipe; cut-off numbers help nobody

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    if not estimate.lines:
        say(f"{out} is complete and was made with the same inputs and settings: nothing to do")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "works on", "done", "processes"):
        table.add_column(name)
    for name in ("rows/s", "hours"):
        table.add_column(name, justify="right")
    for line in estimate.lines:
        table.add_row(*cells(line))
    console.print(table)
    total = f"{'about' if estimate.whole else 'more than'} {_hours(estimate.seconds)} h ({_clock(estimate.seconds)})"
    lines = [f"in all     {total}, one stage after another"]
    untimed = [line.name for line in estimate.lines if line.left and line.seconds is None]
    if untimed:
        lines.append(f"unknown    {', '.join(untimed)}: too little was done in the seconds of the trial to tell")
    if estimate.cluster:
        lines.append(f"cluster    {_cluster(estimate.cluster)}")
    lines += [f"based on   {note}" for note in estimate.notes]
    lines += [f"left out   {estimate.leaves_out}", f"out        {out}; nothing was written there"]
    for line in lines:
        say(line)


def cells(line: Line) -> tuple[str, ...]:
    """A row of the table: stage, works on, done, processes, rows/s, hours."""
    done = f"{100 * line.done / line.rows:.0f} %" if line.done and line.rows else ""
    if line.rows and not line.left:
        done, processes, rate, hours = "all", "", "", "0"
    else:
        processes = _processes(line.stage)
        rate = "" if line.per_second is None else _rate(line.per_second)
        hours = "?" if line.seconds is None else _hours(line.seconds)
    return line.name, f"{'about ' if line.about else ''}{line.rows:,.0f} {line.unit}", done, processes, rate, hours


def _processes(stage: Stage | None) -> str:
    if stage is None:
        return "the driver"
    gpus = f" and {stage.gpus_per_worker:g} GPU" if stage.gpus_per_worker else ""
    return f"{stage.workers} x {stage.cpus_per_worker:g} CPU{gpus}"


def _cluster(cluster: Cluster) -> str:
    text = amount(cluster.nodes)
    return f"{text}, this machine" if cluster.local else f"{text} with all machines that are up or may be added"


def _hours(seconds: float) -> str:
    hours = max(seconds / 3600, 1e-4) if seconds else 0.0  # less would be written as 8e-05
    return f"{hours:.2g}" if hours < 10 else f"{hours:,.0f}"


def _rate(per_second: float) -> str:
    return f"{per_second:.3g}" if per_second < 100 else f"{per_second:,.0f}"


def _clock(seconds: float) -> str:
    if seconds < 60:
        return "less than a minute"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
