"""Train PSSM-Distil and its rivals, and write tables, predictions, a model and a report.

    python jobs/distil.py                                    # the bundled sample, on this machine
    python jobs/distil.py --data DATASET --out runs/mine     # your proteins, prepared with jobs/prepare.py
    ray job submit --working-dir . -- python jobs/distil.py --data DATASET --workers 4 --out /shared/runs/mine

The same command again continues where it was stopped, and costs nothing once it has finished.
"""

import sys


def main() -> int:
    import tyro

    from protray.pipelines.secondary.distil_run import DistilRun

    run = tyro.cli(DistilRun, description=__doc__)

    from protray.cluster.runtime.job import run_job
    from protray.cluster.runtime.start import prepare_environment, setup_logging

    setup_logging()
    prepare_environment()
    if run.plan:
        from protray.cluster.health.plan_table import print_estimate
        from protray.pipelines.secondary.distil_plan import stages

        return run_job(lambda: print_estimate(run.out, stages(run)), run.out)
    from protray.pipelines.secondary.distil import distil
    from protray.pipelines.secondary.distil_summary import print_summary

    return run_job(lambda: print_summary(run, distil(run)), run.out, alone=True)


if __name__ == "__main__":
    sys.exit(main())
