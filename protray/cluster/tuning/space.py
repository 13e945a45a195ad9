"""A study of `tune_spaces/`: which settings vary, over what, and where the paper stands.  Light: no torch, no Ray.

A study is a Python file with

``JOB``     "distil", "score_net", "ssdm", ... as in jobs/tune.py: what a trial trains
``SPACE``   setting -> a `Range`, or a tuple of choices; or a list of points, each a mapping of settings
``METRIC``  what is compared, on the validation split, and ``MODE``, "max" or "min"
``PAPER``   the paper's point, which is always trial 0
``FIXED``   settings of all trials, where they are not the job's own; a study without them need not say so
"""

import difflib
import itertools
import math
import random
import runpy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from protray.seq.keyed import key

Point = dict[str, Any]
Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`: a grid goes through `grid`, a search draws any number."""

    low: float
    high: float
    grid: tuple[float, ...]
    log: bool = False  # draw the logarithm evenly

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"a range rises from low to high (above 0 if log), got {self.low} and {self.high}")
        if outside := [value for value in self.grid if not self.low <= value <= self.high]:
            raise ValueError(f"the grid values {outside} lie outside the range {self.low} to {self.high}")

    def draw(self, share: float) -> float:
        """The number at `share` of the way, in [0, 1)."""
        if self.log:
            return math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        return self.low + share * (self.high - self.low)


@dataclass(frozen=True, kw_only=True)
class Space:
    """A study, checked."""

    name: str
    job: str
    varied: dict[str, "Range | tuple"] | list[Point]
    metric: str
    mode: Literal["max", "min"]
    paper: Point
    fixed: Point = field(default_factory=dict)

    @property
    def log_scaled(self) -> frozenset[str]:
        """Settings whose range is logarithmic."""
        varied = self.varied if isinstance(self.varied, dict) else {}
        return frozenset(name for name, values in varied.items() if isinstance(values, Range) and values.log)

    def grid(self) -> list[Point]:
        """Every point of the grid."""
        if isinstance(self.varied, list):
            return self.varied
        choices = [values.grid if isinstance(values, Range) else values for values in self.varied.values()]
        return [dict(zip(self.varied, chosen, strict=True)) for chosen in itertools.product(*choices)]


def read_space(where: str) -> Space:
    """Read ``FILE.py``, or ``FILE.py:NAME`` for another space in it than ``SPACE``.

    Raises ValueError for a file that is not a study: it says which name is missing or wrong.
    """
    path, _, name = where.partition(".py:")
    file = Path(path if not name else path + ".py")
    if not file.is_file():
        raise ValueError(f"{file}: no such file; studies lie in tune_spaces/, such as tune_spaces/distil_weights.py")
    found = runpy.run_path(str(file))
    name = name or "SPACE"
    if missing := [wanted for wanted in ("JOB", "METRIC", "MODE", "PAPER", name) if wanted not in found]:
        raise ValueError(f"{file} does not define {', '.join(missing)}")
    if found["MODE"] not in ("max", "min"):
        raise ValueError(f"{file}: MODE is 'max' or 'min', got {found['MODE']!r}")
    varied = found[name]
    points = varied if isinstance(varied, list) else [varied]
    for point in points:
        if not isinstance(point, dict) or not point or point.keys() != found["PAPER"].keys():
            raise ValueError(
                f"{file}: {name} and PAPER must set the same things, got {sorted(point)} and {sorted(found['PAPER'])}"
            )
    short = file.stem if name == "SPACE" else f"{file.stem}:{name}"
    return Space(
        name=short, job=found["JOB"], varied=varied, metric=found["METRIC"], mode=found["MODE"], paper=found["PAPER"],
        fixed=found.get("FIXED", {}),
    )  # fmt: skip


def choose_points(space: Space, search: Literal["grid", "random"], samples: int, seed: int) -> list[Point]:
    """The paper's point, then up to `samples` - 1 others; with more `samples` the same series goes on."""
    if search == "random":
        others: Iterator[Point] = (_drawn(space, seed, number) for number in itertools.count())
        return [space.paper, *itertools.islice(others, samples - 1)]
    return spread(space.grid(), space.paper, samples)


def spread(points: Sequence[Point], first: Point, count: int) -> list[Point]:
    """Choose `count` of `points`, `first` included, so that values and pairs of values recur as evenly as they can.

    One by one the point is taken that shares the fewest settings with those before it, counted as the sum of squares:
    the J2 criterion of nearly-orthogonal arrays [Xu2002]_, so that more points continue the same series.  Where every
    value of a setting stands as often beside every value of another, the means over them (main effects) do not mix.

    References
    ----------
    .. [Xu2002] Xu. An algorithm for constructing orthogonal and nearly-orthogonal arrays with mixed levels and small
       runs. Technometrics 44:356-368.
    """
    left = [point for point in points if point != first]
    random.Random(0).shuffle(left)  # ties: in an order of no meaning, or the last setting would stay as it is
    chosen, cost = [first], [0] * len(left)
    while left and len(chosen) < count:
        last = chosen[-1]
        cost = [old + _shared(point, last) ** 2 for old, point in zip(cost, left, strict=True)]
        best = cost.index(min(cost))
        chosen.append(left.pop(best))
        cost.pop(best)
    return chosen


def _shared(one: Point, two: Point) -> int:
    return sum(one[name] == two[name] for name in one)


def _drawn(space: Space, seed: int, number: int) -> Point:
    """Point `number` of a random search."""
    rng = random.Random(key(seed, "sweep", number))
    if isinstance(space.varied, list):
        return rng.choice(space.varied)
    return {
        name: float(f"{values.draw(rng.random()):.4g}") if isinstance(values, Range) else rng.choice(values)
        for name, values in space.varied.items()
    }


def replaced(config: Config, point: Mapping[str, Any]) -> Config:
    """`config`, a dataclass of dataclasses, with the settings of `point` (``"weights.alpha": 0.5``) in place.

    Raises ValueError for a setting that it does not have, naming the nearest it has, and for one of another kind.
    """
    for path, value in point.items():
        config = _replaced(config, path.split("."), path, value, config)
    return config


def _replaced(config: Any, names: list[str], path: str, value: object, top: object) -> Any:
    if not is_dataclass(config) or names[0] not in {one.name for one in fields(config)}:
        known = dict(settings(top))
        nearest = difflib.get_close_matches(path, known, n=1, cutoff=0.0)[0]
        raise ValueError(f"there is no setting {path!r}; the nearest is {nearest!r} (now {known[nearest]!r})")
    old = getattr(config, names[0])
    if len(names) > 1:
        return replace(config, **{names[0]: _replaced(old, names[1:], path, value, top)})  # type: ignore[type-var]
    same = isinstance(value, type(old)) and isinstance(value, bool) == isinstance(old, bool)
    if not same and not (isinstance(old, float) and type(value) is int):
        raise ValueError(f"setting {path!r} is a {type(old).__name__} such as {old!r}, got {value!r}")
    return replace(config, **{names[0]: value})  # type: ignore[type-var]


def settings(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All settings of a dataclass of dataclasses by their path, with their values."""
    for one in fields(config):
        value = getattr(config, one.name)
        if is_dataclass(value):
            yield from settings(value, f"{prefix}{one.name}.")
        else:
            yield prefix + one.name, value


def point_name(point: Point) -> str:
    """The varied settings in one line: ``alpha=0.4 eta=0.6``."""
    return " ".join(f"{path.split('.')[-1]}={_short(value)}" for path, value in point.items())


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
