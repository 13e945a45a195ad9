"""A pool of Ray actors that fetch work one unit at a time.

Plain actors, not Ray Data's ``map_batches``, since the driver then knows which unit took a process down with it (Ray
Data sends the same block to the next process for ever), and since whoever is free takes the next unit: actors that a
cluster adds later, or that are faster than others, simply take more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

LONGEST_STALL_S = 6 * 3600.0  # without any unit done: a unit of a very large model takes a CPU hours
LOST_IN_A_ROW = 60  # processes, without one unit done: then it is no single protein's fault
LOST_AT_FIRST = 10  # the same, before any unit was done: a model or a machine that cannot work

Unit = TypeVar("Unit")


@dataclass(frozen=True)
class Lost:
    """A unit whose process died, or failed in an unforeseen way."""

    reason: str
    preempted: bool = False  # the cluster took the machine away, so the unit is not to blame


def run_pool(
    start: Callable[[], Any],
    size: int,
    next_unit: Callable[[], Unit | None],
    send: Callable[[Any, Unit], ray.ObjectRef],
) -> Iterator[tuple[Unit, Any]]:
    """Work off units with `size` actors; yields (unit, result) as they are done, ``Lost`` in place of some results.

    Parameters
    ----------
    start : callable
        Makes an actor; its method ``open`` is called first and alone, and gets what it needs to work.
    next_unit : callable
        The next unit, or None if there is none now; asked again after every result.
    send : callable
        Gives an actor a unit; returns the reference to the result.

    Raises
    ------
    Exception
        Whatever ``open`` raised, and OSError of a unit: a disk is no unit's fault.
    ChildProcessError
        If ``LOST_IN_A_ROW`` processes were lost, or ``LOST_AT_FIRST`` at the beginning.
    TimeoutError
        If nothing happened in ``LONGEST_STALL_S``.
    """
    opening: dict[Any, Any] = {}
    busy: dict[Any, tuple[Any, Unit]] = {}
    idle: list[Any] = []
    lost, limit = 0, LOST_AT_FIRST

    def add() -> None:
        actor = start()
        opening[actor.open.remote()] = actor

    try:
        for _ in range(size):
            add()
        while True:
            while idle and (unit := next_unit()) is not None:
                actor = idle.pop()
                busy[send(actor, unit)] = actor, unit
            if idle and not busy:
                return
            waiting = [*busy, *opening]
            if not ray.wait(waiting, num_returns=1, timeout=LONGEST_STALL_S)[0]:
                raise TimeoutError(f"no process has finished anything in {LONGEST_STALL_S / 3600:g} hours")
            # All that are ready at once: what a wait costs grows with the number of actors.
            for ref in ray.wait(waiting, num_returns=len(waiting), timeout=0)[0]:
                result: Any = _result(ref)
                actor, unit = opening.pop(ref, None), None
                if actor is None:
                    actor, unit = busy.pop(ref)
                if isinstance(result, RayTaskError):
                    if unit is None or isinstance(result.cause, OSError):
                        raise result.cause
                    ray.kill(actor)  # after an error on a GPU nothing works in that process any more
                    result = Lost(f"unexpected {type(result.cause).__name__}: {result.cause}")
                if isinstance(result, Lost):
                    lost += 1
                    if lost == limit:
                        raise ChildProcessError(f"{lost} processes in a row were lost; the last: {result.reason}")
                    add()
                else:
                    idle.append(actor)
                if unit is not None:
                    if not isinstance(result, Lost):
                        lost, limit = 0, LOST_IN_A_ROW
                    yield unit, result
    finally:
        for actor in [*opening.values(), *idle, *(actor for actor, _ in busy.values())]:
            ray.kill(actor)


def _result(ref: Any) -> Any:
    """What a call returned, its error, or that its process was lost."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        return error
    except (RayActorError, OutOfMemoryError) as error:
        return Lost(f"its process died: {_told(error)}", getattr(error, "preempted", False))


def _told(error: Exception) -> str:
    """What Ray says of a death, without the lines of ids in front and the list of guesses behind."""
    lines = [line for line in str(error).splitlines()[1:] if not line.startswith("\t")]
    text = " ".join(" ".join(lines or [str(error)]).split())
    return text.split(" Some common causes")[0].removeprefix("The actor is dead because its ")[:300]
