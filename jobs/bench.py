"""Measure protray against plain implementations and against the machine.

    python jobs/bench.py msa
    python jobs/bench.py pseudo
    python jobs/bench.py maps
    python jobs/bench.py score
    python jobs/bench.py ssdm
    python jobs/bench.py rows

The plain implementation and ours take turns; shown are medians, with quartiles of the ratio.  The share of the limit is
our rate over what this machine reaches in the same process: bytes read or written, or matrix products.  `msa`,
`pseudo`, `score` and `ssdm` use one core and count processor time, but for steps through Ray and of two processes,
which count wall time unless they say otherwise; `maps` uses all cores, or a GPU, and counts wall time.  `rows` sends
10,000 to a million synthetic proteins through the machinery of the maps and compares rows per second.  The last line is
JSON: ratio_plain, share_of_limit, and what was measured.

Where the processor has AVX-512 or bfloat16, this imitates one that has neither:

    ATEN_CPU_CAPABILITY=avx2 DNNL_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 python jobs/bench.py maps
"""

import importlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class BenchRun:
    """What to measure; each name is a module of protray.bench with a function `bench(repeats)`."""

    name: Literal["msa", "pseudo", "maps", "score", "ssdm", "rows"]
    repeats: int = 7
    """Turns that are counted, after one that is not."""


PER_CORE = ("msa", "pseudo", "score", "ssdm")


def main(argv: list[str] | None = None) -> int:
    import tyro

    run = tyro.cli(BenchRun, args=argv, description=__doc__, config=(tyro.conf.PositionalRequiredArgs,))
    if run.repeats < 1:
        print(f"error: --repeats is {run.repeats}; it must be at least 1", file=sys.stderr)
        return 1
    if run.name in PER_CORE:  # read when NumPy and torch are imported, which is below
        os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    cases, more = importlib.import_module(f"protray.bench.{run.name}").bench(run.repeats)
    print(f"{'case':<24}{'plain':>12}{'ours':>12}{'ratio':>10}{'(quartiles)':>18}{'share of limit':>17}")
    for case in cases:
        low, high = case.ratio_plain.low, case.ratio_plain.high
        share = "" if case.share_of_limit is None else percent(case.share_of_limit)
        print(
            f"{case.name:<24}{1000 * case.plain_s.median:>9.4g} ms{1000 * case.ours_s.median:>9.4g} ms"
            f"{case.ratio_plain.median:>9.4g}x{f'({low:.4g}..{high:.4g})':>18}{share:>17}"
        )
    for case in cases:
        print(f"{case.name}: {case.measured}")
        if case.rate is not None and case.limit is not None:
            print(f"    {case.rate / 1e9:.3g} of {case.limit / 1e9:.3g} G/s, {case.limit_name}")
    for name, value in more.items():
        print(f"{name}: {value:.3g}")
    line = {
        "bench": run.name,
        "ratio_plain": {case.name: case.ratio_plain.median for case in cases},
        "share_of_limit": {case.name: case.share_of_limit for case in cases},
        "measured": [asdict(case) for case in cases],
        "more": more,
    }
    print(json.dumps(line, allow_nan=False))
    return 0


def percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


if __name__ == "__main__":
    sys.exit(main())
