"""The command of `jobs/bench.py`.  Light: threads are set before NumPy and torch are imported."""

import importlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class BenchRun:
    """What to measure; each name is a module of protray.bench with a function `bench(repeats)`."""

    name: Literal["msa", "pseudo", "maps", "score", "ssdm", "rows", "rivals"]
    repeats: int = 7
    """Turns that are counted, after one that is not."""


PER_CORE = ("msa", "pseudo", "score", "ssdm", "rivals")


def bench_command(description: str | None, argv: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    import tyro

    run = tyro.cli(BenchRun, args=argv, description=description, config=(tyro.conf.PositionalRequiredArgs,))
    if run.repeats < 1:
        print(f"error: --repeats is {run.repeats}; it must be at least 1", file=sys.stderr)
        return 1
    if run.name in PER_CORE:  # read when NumPy and torch are imported, which is below
        os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    from protray.bench.timing import SkippedError

    try:
        cases, more = importlib.import_module(f"protray.bench.{run.name}").bench(run.repeats)
    except SkippedError as reason:
        print(f"skipped: {reason}")
        print(json.dumps({"bench": run.name, "skipped": str(reason)}))
        return 0
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
