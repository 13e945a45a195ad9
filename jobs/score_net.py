"""Pre-train the score network on tertiary structures, and show how well it denoises.

    python jobs/score_net.py                                    # the bundled sample, on this machine
    python jobs/score_net.py --data DATASET --out runs/mine     # your chains, from jobs/prepare_structures.py
    ray job submit --working-dir . -- python jobs/score_net.py --data DATASET --model paper --workers 4 --out DIR

The network, `OUT/model`, is the `--model` of jobs/embed.py.  The same command again continues where it was stopped, and
costs nothing once it has finished.
"""

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protray.pipelines.structure.score_net_run import ScoreRun


def main(argv: list[str] | None = None) -> int:
    import tyro

    from protray.pipelines.structure.score_net_run import ScoreRun, preset

    before = argparse.ArgumentParser(add_help=False)  # --model chooses the defaults of all other options
    before.add_argument("--model", choices=("small", "paper"), default="small")
    model = before.parse_known_args(argv)[0].model
    run = tyro.cli(ScoreRun, args=argv, default=preset(model), description=__doc__)

    from protray.cluster.runtime.job import run_job
    from protray.cluster.runtime.start import prepare_environment, setup_logging

    setup_logging()
    prepare_environment()
    if run.plan:
        from protray.cluster.health.plan_table import print_estimate
        from protray.pipelines.structure.score_net_plan import stages

        return run_job(lambda: print_estimate(run.out, stages(run)), run.out)
    from protray.pipelines.structure.score_net import score_net

    return run_job(lambda: print_summary(run, score_net(run)), run.out, alone=True)


def print_summary(run: "ScoreRun", facts: dict) -> None:
    """Say how good the network is, and where it lies."""
    from protray.cluster.storage.addresses import named

    best = next(point for point in facts["history"] if point["step"] == facts["best_step"])
    print(
        f"validation, best at step {best['step']} of {facts['steps']}: {best['validation/explained']:.3f} of the noise "
        f"within reach explained; loss {best['validation/loss']:.1f}, {best['validation/loss_over_zero']:.3f} of a "
        f"zero score's, {best['validation/loss_over_floor']:.1f} of the floor"
    )
    sampled = [row for row in facts["denoising"] if row["level"] is None]
    print(f"from noise of {sampled[0]['sigma']:g} Å, {sampled[0]['n']} held-out chains (95 % intervals)")
    for row in sampled:
        rmsd, lddt = (interval(row, measure) for measure in ("rmsd", "lddt"))
        print(f"  {row['method']:<24} RMSD {rmsd} Å, lDDT {lddt}")
    print(f"model   {named(run.out / 'model')}\nreport  {named(run.out / 'report.html')}\nMLflow  {facts['mlflow_ui']}")


def interval(row: dict, measure: str) -> str:
    """A mean with its interval, which single chains have not."""
    low, high = row[f"{measure}_ci95"]
    mean = f"{row[measure]:.3f}"
    return mean if low is None else f"{mean} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
