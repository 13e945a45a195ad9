"""Measure protray against plain implementations and against the machine: msa, pseudo, maps, score, ssdm, rows, rivals.

    python jobs/bench.py maps

Both take turns; shown are medians, with quartiles of the ratio.  The share of the limit is our rate over what this
machine reaches in the same process: bytes, or matrix products.  msa, pseudo, score and ssdm use one core and count
processor time (steps through Ray: wall time), maps all cores, or a GPU, and wall time; rows sends up to a million
synthetic proteins through the machinery of maps; rivals predicts secondary structure beside ReProf, where that is
installed, and tells the accuracy of both.  The last line is JSON: ratio_plain, share_of_limit, and the rest.
For a processor without AVX-512: ATEN_CPU_CAPABILITY=avx2 DNNL_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 in front.
"""

import sys

from protray.bench.command import bench_command

if __name__ == "__main__":
    sys.exit(bench_command(__doc__))
