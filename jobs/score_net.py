"""Pre-train the score network on tertiary structures, and show how well it denoises.

    python jobs/score_net.py                                    # the bundled sample, on this machine
    python jobs/score_net.py --data DATASET --out runs/mine     # your chains, from jobs/prepare_structures.py
    ray job submit --working-dir . -- python jobs/score_net.py --data DATASET --model paper --workers 4 --out DIR

The network, `OUT/model`, is the `--model` of jobs/embed.py.  The same command again continues where it was stopped, and
costs nothing once it has finished.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protray.cluster.score_net_run import ScoreRun


def main() -> int:
    import tyro

    from protray.cluster.score_net_run import ScoreRun

    run = tyro.cli(ScoreRun, description=__doc__)

    from protray.cluster.job import run_job
    from protray.cluster.start import prepare_environment, setup_logging

    setup_logging()
    prepare_environment()
    from protray.cluster.score_net import score_net

    return run_job(lambda: print_summary(run, score_net(run)), run.out)


def print_summary(run: "ScoreRun", facts: dict) -> None:
    """Say how good the network is, and where it lies."""
    print(f"model   {run.out / 'model'}")


if __name__ == "__main__":
    sys.exit(main())
