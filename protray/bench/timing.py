"""Time an implementation against a plain one, run by run in turn, and against what the machine can do.

The two take turns (A B A B ...), so that a change of the machine's clock or load falls on both; the ratio is taken
within each turn, and its median and quartiles are reported.
"""

import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

OUT_OF_CACHE = 256 << 20  # bytes: eight times the largest cache of most machines


class SkippedError(Exception):
    """What is to be measured is not installed here."""


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison.  `share_of_limit` is `rate` over `limit`, None where no machine limit applies."""

    name: str
    measured: str  # what was computed, of which size, and what the plain implementation is
    plain_s: Spread
    ours_s: Spread
    ratio_plain: Spread
    rate: float | None = None  # of ours, in units of `limit` per second
    limit: float | None = None
    limit_name: str = ""

    @property
    def share_of_limit(self) -> float | None:
        return None if self.rate is None or self.limit is None else self.rate / self.limit


def interleaved(
    functions: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each function in each of `repeats` turns, after one turn that is not counted.

    Parameters
    ----------
    functions : mapping
        Name -> what to run; in a turn each runs once, in this order.
    clock : callable
        ``time.perf_counter``; ``time.process_time`` counts the processor time of this process alone, which other
        programs on the machine disturb less, and adds up over threads.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            started = clock()
            function()
            if turn:
                seconds[name].append(clock() - started)
    return seconds


def compare(
    name: str,
    measured: str,
    plain: Callable[[], object],
    ours: Callable[[], object],
    repeats: int,
    *,
    plain_share: float = 1.0,
    work: float | None = None,
    limit: float | None = None,
    limit_name: str = "",
    clock: Callable[[], float] = time.process_time,
) -> Case:
    """Time `ours` against `plain`.

    Parameters
    ----------
    plain_share : float
        Share of the work that `plain` does; its time is divided by it.  Say so in `measured`.
    work : float
        Of one run of `ours`, in the units of `limit`: bytes, floating-point operations.
    """
    seconds = interleaved({"plain": plain, "ours": ours}, repeats, clock)
    plain_s = [value / plain_share for value in seconds["plain"]]
    return case(name, measured, plain_s, seconds["ours"], work=work, limit=limit, limit_name=limit_name)


def case(
    name: str,
    measured: str,
    plain_s: list[float],
    ours_s: list[float],
    *,
    work: float | None = None,
    limit: float | None = None,
    limit_name: str = "",
) -> Case:
    """What the seconds of each turn say."""
    return Case(
        name=name,
        measured=measured,
        plain_s=Spread.of(plain_s),
        ours_s=Spread.of(ours_s),
        ratio_plain=Spread.of([a / b for a, b in zip(plain_s, ours_s, strict=True)]),
        rate=None if work is None else work / statistics.median(ours_s),
        limit=limit,
        limit_name=limit_name,
    )


def matrix_rate(
    dtype: str = "float32", size: int = 2048, clock: Callable[[], float] = time.process_time, device: str = "cpu"
) -> float:
    """Floating-point operations per second of torch's matrix product: the best of 5, with the threads torch has."""
    import torch

    a = torch.rand(size, size, device=device).to(getattr(torch, dtype))
    seconds = interleaved({"product": lambda: torch.mm(a, a)}, 5, clock)["product"]
    return 2 * size**3 / min(seconds)


def write_rate(clock: Callable[[], float] = time.process_time) -> float:
    """Bytes per second of ``ndarray.fill`` on memory that is there already and is larger than the cache; best of 5."""
    memory = np.zeros(OUT_OF_CACHE, dtype=np.uint8)
    return OUT_OF_CACHE / min(interleaved({"fill": lambda: memory.fill(1)}, 5, clock)["fill"])


def fresh_write_rate(clock: Callable[[], float] = time.process_time) -> float:
    """The same on memory that the system has to provide first, as for every new array of this size; best of 5."""
    return OUT_OF_CACHE / min(interleaved({"new": lambda: np.full(OUT_OF_CACHE, 1, np.uint8)}, 5, clock)["new"])


def read_rate(clock: Callable[[], float] = time.process_time) -> float:
    """Bytes per second that NumPy sums, as 64-bit words, out of memory larger than the cache; best of 5."""
    memory = np.ones(OUT_OF_CACHE // 8, dtype=np.uint64)
    return OUT_OF_CACHE / min(interleaved({"sum": lambda: memory.sum()}, 5, clock)["sum"])


def peak_bytes(function: Callable[[], object]) -> int:
    """The most memory that `function` held beyond what there was, as Python and NumPy allocate it."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def peak_resident_bytes(function: Callable[[], object]) -> int:
    """The most memory that the process held in `function` beyond what it held before, torch's included; Linux only."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is held now
    before = _peak_resident()
    function()
    return _peak_resident() - before


def _peak_resident() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])
