"""What a finished distillation run prints: the table, the headline, and where everything lies."""

from protray.cluster.storage.addresses import named
from protray.evaluation.tables import to_rich
from protray.pipelines.secondary.distil_run import DistilRun
from protray.plots.secondary.distil_report import headline

TABLE_WIDTH = 110


def print_summary(run: DistilRun, metrics: dict) -> None:
    """Print the test split's tables to the terminal."""
    from rich.console import Console

    console = Console()
    if console.width < TABLE_WIDTH:
        console = Console(width=TABLE_WIDTH)  # of a pipe or a narrow window; cut-off names help nobody
    for table in to_rich(metrics["table"]):
        console.print(table)
    for sentence in headline(metrics["gains"]):
        console.print(sentence)
    console.print(f"\nreport       {named(run.out / 'report.html')}", soft_wrap=True, highlight=False)
    console.print(f"predictions  {named(run.out / 'predictions.parquet')}", soft_wrap=True, highlight=False)
    console.print(f"model        {named(run.out / 'model')}", soft_wrap=True, highlight=False)
    console.print(f"MLflow       {metrics['mlflow_ui']}", soft_wrap=True, highlight=False)
