"""Build ``sample.parquet``, the bundled sample, from the project's raw data.  Run once; kept for provenance.

    python protray/data/sample/build.py --pdb ../shared/data/pdb

Reads ``chains.parquet`` and ``msas.tar.xz`` (one A3M per 25 %-identity cluster, so the splits are disjoint by
construction) and draws, with seed 0, 1,000 chains of 50 to 128 residues: short, because the language model's map of
a chain costs its length squared and the sample has to finish on two CPU cores within minutes.
"""

import argparse
import random
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from protray.data import schemas
from protray.seq.msa import parse_msa
from protray.seq.alphabet import encode

SEED = 0
LENGTHS = range(50, 129)
MAX_ROWS = 128  # of an alignment, query included
# Chains drawn per split and homolog count: (low, high) inclusive.  The test split leans to the shallow side, which
# is what it is there to measure; "none" has its own stratum.
STRATA = {
    "train": {(0, 0): 55, (1, 10): 85, (11, 60): 100, (61, 10**9): 400},
    "validation": {(0, 0): 25, (1, 10): 30, (11, 60): 30, (61, 10**9): 35},
    "test": {(0, 0): 60, (1, 10): 60, (11, 60): 55, (61, 10**9): 65},
}
