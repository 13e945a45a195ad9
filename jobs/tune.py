"""Try other settings than the paper's, beside the paper's, and say whether the difference is more than chance.

    python jobs/tune.py --space tune_spaces/distil_weights.py    # the bundled sample; --plan says how long
    ray job submit --working-dir . -- python jobs/tune.py --space tune_spaces/distil_weights.py --samples 100 --out DIR

One half of the validation clusters chooses, the other confirms.  The same command goes on; more --samples add trials.
"""

import sys

from protray.cluster.tuning.command import sweep_command

JOBS = {
    "distil": "protray.pipelines.secondary.sweep_distil", "score_net": "protray.pipelines.structure.sweep_score",
    "ssdm": "protray.pipelines.structure.sweep_ssdm", "quality": "protray.pipelines.tasks.quality.sweep",
    "sites": "protray.pipelines.tasks.sites.sweep", "function": "protray.pipelines.tasks.properties.function.sweep",
    "fine_tune": "protray.pipelines.tasks.properties.function.sweep_tuned",
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(sweep_command(JOBS, __doc__))
