"""The trainings of a table, one after another: GraphQA without embeddings, and with each kind of them."""

from collections.abc import Callable, Mapping, Sequence

from protray.data.decoys.graphs import Extras, Widths
from protray.data.decoys.table import Decoy
from protray.models.graphqa_config import GraphQaConfig
from protray.training.tasks.quality import Report, fit
from protray.training.tasks.quality_steps import QualityFitConfig
from protray.training.world import World

Opened = tuple[Widths, Extras]


def fit_rows(
    rows: Mapping[str, Callable[[], Opened]], net: GraphQaConfig, train: Sequence[Decoy], validation: Sequence[Decoy],
    config: QualityFitConfig, report: Report, resume: dict | None, world: World,
) -> None:  # fmt: skip
    """Train every row that `resume` does not have yet; `rows` open their embeddings when their turn comes.

    Each state has ``stage``, the row; ``fit``, its state; and ``rows``, the last states of all rows before it, of which
    ``best`` and ``position`` are kept.
    """
    done: dict[str, dict] = dict(resume["rows"]) if resume else {}
    for name, open_extras in rows.items():
        if name in done:
            continue
        going_on = resume["fit"] if resume and resume["stage"] == name else None
        if going_on and going_on["position"]["step"] == config.steps(len({decoy.target for decoy in train})):
            done[name] = kept(going_on)
            continue

        def in_row(metrics: dict[str, float], state: dict | None, name: str = name) -> None:
            whole = None if state is None else {"stage": name, "fit": state, "rows": dict(done)}
            report({"stage": name} | metrics, whole)  # type: ignore[arg-type]

        widths, extras = open_extras()
        done[name] = kept(fit(net, widths, train, validation, config, in_row, going_on, world, extras))


def kept(state: dict) -> dict:
    """What is needed of a finished training: its weights and its curve."""
    return {"best": state["best"], "position": state["position"]}


def finished_rows(state: dict) -> dict[str, dict]:
    """All rows of the last state of `fit_rows`."""
    return state["rows"] | {state["stage"]: kept(state["fit"])}
