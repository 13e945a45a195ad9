"""What a finished distillation run prints: the table, the headline, and where everything lies."""

from pathlib import Path

from protray.cluster.distil_run import DistilRun
from protray.cluster.store import ui_command
from protray.evaluation.tables import to_rich
from protray.plots.distil_report import headline


def print_summary(run: DistilRun, metrics: dict) -> None:
    """Print the test split's tables to the terminal."""
    from rich.console import Console

    console = Console()
    for table in to_rich(metrics["table"]):
        console.print(table)
    for sentence in headline(metrics["gains"]):
        console.print(sentence)
    console.print(f"\nreport       {run.out / 'report.html'}", soft_wrap=True, highlight=False)
    console.print(f"predictions  {run.out / 'predictions.parquet'}", soft_wrap=True, highlight=False)
    console.print(f"model        {run.out / 'model'}", soft_wrap=True, highlight=False)
    store = run.mlflow or f"sqlite:///{Path(run.out).resolve() / 'mlflow.db'}"
    console.print(f"runs         {ui_command(store)}", soft_wrap=True, highlight=False)
