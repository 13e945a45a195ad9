"""Try other settings than the paper's, beside the paper's, and say whether the difference is more than chance.

    python jobs/tune.py --space tune_spaces/distil_weights.py                # the bundled sample, on this machine
    python jobs/tune.py --space tune_spaces/noise_schedule.py --dry-run      # what it would do, and how long
    ray job submit --working-dir . -- python jobs/tune.py --space tune_spaces/distil_weights.py --samples 100 --out DIR

Trials are compared on the validation split; no test protein is looked at.  The same command again continues where it
was stopped, and costs nothing once it has finished; with more --samples it adds trials.
"""

import sys


def main() -> int:
    import tyro

    from protray.cluster.tuning.sweep_run import SweepRun

    run = tyro.cli(SweepRun, description=__doc__)

    from protray.cluster.runtime.job import run_job
    from protray.cluster.runtime.start import prepare_environment, setup_logging

    setup_logging()
    prepare_environment()
    from protray.cluster.tuning.summary import print_plan, print_sweep
    from protray.cluster.tuning.sweep import sweep
    from protray.cluster.tuning.sweep_plan import dry_run

    if run.dry_run:
        return run_job(lambda: print_plan(run, dry_run(run)), run.out)
    return run_job(lambda: print_sweep(run, sweep(run)), run.out, alone=True)


if __name__ == "__main__":
    sys.exit(main())
