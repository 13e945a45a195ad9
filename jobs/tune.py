"""Try other settings than the paper's, beside the paper's, and say whether the difference is more than chance.

    python jobs/tune.py --space tune_spaces/distil_weights.py                # the bundled sample, on this machine
    python jobs/tune.py --space tune_spaces/noise_schedule.py --plan         # what it would do, and how long
    ray job submit --working-dir . -- python jobs/tune.py --space tune_spaces/distil_weights.py --samples 100 --out DIR

Trials are compared on the validation split: one half of its clusters chooses, the other confirms; no test protein is
looked at.  The same command again continues where it was stopped, and costs nothing once it has finished; with more
--samples it adds trials.
"""

import sys

from protray.cluster.tuning.command import sweep_command

JOBS = {
    "distil": "protray.pipelines.secondary.sweep_distil",
    "score_net": "protray.pipelines.structure.sweep_score",
    "ssdm": "protray.pipelines.structure.sweep_ssdm",
    "quality": "protray.pipelines.tasks.quality.sweep",
    "sites": "protray.pipelines.tasks.sites.sweep",
    "function": "protray.pipelines.tasks.properties.sweep",
}

if __name__ == "__main__":
    sys.exit(sweep_command(JOBS, __doc__))
