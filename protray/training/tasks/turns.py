"""Trainings of a table's rows, one after another, of which none is done twice."""

from collections.abc import Callable, Mapping

from protray.training.progress import Report

Train = Callable[[Report, dict | None], dict]  # (report, state to go on from): its last state


def in_turn(trainings: Mapping[str, Train], report: Report, resume: dict | None) -> None:
    """Do every training that `resume` does not have yet.

    Each state has ``stage``, its name; ``fit``, its state; and ``rows``, the last states of all before it, of which
    ``best``, ``position`` and ``clock`` are kept.  A training that is given its last state gives it back.
    """
    done: dict[str, dict] = dict(resume["rows"]) if resume else {}
    for name, train in trainings.items():
        if name in done:
            continue

        def in_row(metrics: dict[str, float], state: dict | None, name: str = name) -> None:
            whole = None if state is None else {"stage": name, "fit": state, "rows": dict(done)}
            report({"stage": name} | metrics, whole)  # type: ignore[arg-type]

        done[name] = kept(train(in_row, resume["fit"] if resume and resume["stage"] == name else None))


def kept(state: dict) -> dict:
    """What is needed of a finished training: its weights, its curve, and the time it took if it tells."""
    return {name: state[name] for name in ("best", "position", "clock") if name in state}


def finished(state: dict) -> dict[str, dict]:
    """All trainings of the last state of `in_turn`."""
    return state["rows"] | {state["stage"]: kept(state["fit"])}
