"""Progress of a long step: a bar with the time left in a terminal, a line every ten seconds elsewhere."""

import logging
import sys
import time
from types import TracebackType

log = logging.getLogger(__name__)

LINE_EVERY_S = 10.0


class Progress:
    """``with Progress("maps") as show: show(done, of)``; `note` is a short text behind the bar, such as a score."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = time.monotonic()
        self.start_share = 0.0  # what an earlier run had already done when this one began
        self.last_line = self.started
        self.bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")]
            self.bar = Progress(
                *columns, TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self.task = self.bar.add_task(name, total=1.0, note="")

    def __enter__(self) -> "Progress":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if self.bar:
            self.bar.stop()
        if kind is None:
            log.info("%s: done in %s", self.name, _clock(time.monotonic() - self.started))

    def __call__(self, done: float, of: float, note: str = "") -> None:
        share, now = (done / of if of else 1.0), time.monotonic()
        if not self.start_share and share < 1:
            self.start_share = share
        if self.bar:
            self.bar.update(self.task, completed=share, note=note)
        elif now - self.last_line > LINE_EVERY_S:
            self.last_line = now
            gained = share - self.start_share
            left = f", {_clock((1 - share) / gained * (now - self.started))} left" if gained > 0 else ""
            log.info("%s: %3.0f %%%s  %s", self.name, 100 * share, left, note)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
