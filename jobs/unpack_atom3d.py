"""Unpack ATOM3D's splits of PSR and MSP, for the jobs of these tasks (pip install lmdb first).

    python jobs/unpack_atom3d.py --data split-by-year/data --out data/psr
    python jobs/quality.py --data data/psr --lm none --fine-tune --out runs/psr
    python jobs/unpack_atom3d.py --data split-by-sequence-identity-30/data --out data/msp
    python jobs/stability.py --task msp --data data/msp/mutations.csv --out runs/msp

Items that cannot be used are listed in OUT/rejected.parquet; more than a tenth are an error.  The same command again
goes on where it was stopped.
"""

import sys

from protray.pipelines.tasks.atom3d import unpack_command

if __name__ == "__main__":
    sys.exit(unpack_command(__doc__))
