"""Train PSSM-Distil and its rivals, and write tables, predictions, a model and a report.

    python jobs/distil.py                                    # the bundled sample, on this machine
    python jobs/distil.py --data DATASET --out runs/mine     # your proteins, prepared with jobs/prepare.py
    python jobs/distil.py --data DATASET --maps MAPS         # with the maps of jobs/prob_maps.py
    ray job submit --working-dir . -- python jobs/distil.py --data DATASET --workers 4 --out /shared/runs/mine

The same command again continues where it was stopped, and costs nothing once it has finished.  Other settings in the
same --out keep the maps and trainings that they share with those before; tables and report are made anew.
"""

import sys

from protray.cluster.train.command import training_command
from protray.pipelines.secondary.distil import JOB, DistilRun

if __name__ == "__main__":
    sys.exit(training_command(JOB, DistilRun, __doc__))
