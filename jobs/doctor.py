"""Check a cluster before money is spent on it.

    python jobs/doctor.py --out runs/mine
    ray job submit --working-dir . -- python jobs/doctor.py --out /shared/runs/mine --mlflow http://mlflow:5000

Looks, from every node that is up, at versions, token, --out (one folder for all, writable), MLflow, GPUs, /dev/shm,
open files and clocks, and at what an upload of --working-dir would weigh; says how to mend what is wrong.  The exit
status is 1 if a check failed; a warning leaves it at 0.  Nothing of it stays in --out.
"""

import sys

from protray.cluster.health.command import doctor_command

if __name__ == "__main__":
    sys.exit(doctor_command(__doc__))
