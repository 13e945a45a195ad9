"""What jobs/predict.py will do and about how long.

Of FASTA records the lengths are known, and cost is counted in forward tokens of the language model; of alignments they
are not, and the mean over some of them stands for all.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

<<<<<<< HEAD:protray/pipelines/secondary/predict_plan.py
from protray.cluster.health.estimate import Estimate, Line, Process, Timed, Trials, mean_rate, seconds_for, timed
from protray.cluster.runtime.resources import actor_pool, make_plan
from protray.cluster.storage import remote
from protray.inference.many import Source, predict_part
from protray.pipelines.language_model.map_units import SPECIAL_TOKENS
from protray.pipelines.secondary.predict import PredictRun, cut, opened, part_path
=======
from protray.cluster import remote
from protray.cluster.estimate import Estimate, Line, Seat, Timed, Trials, mean_rate, seconds_for, timed
from protray.cluster.plan import actor_pool, make_plan
from protray.cluster.predict import PredictRun, cut, opened, part_path
from protray.inference.many import Source, predict_part
from protray.plm.reading import SPECIAL_TOKENS
>>>>>>> w-plm:protray/cluster/predict_plan.py

SOME = 512  # proteins, of which a trial takes as many as there is time for
LONGEST = 600  # residues of a FASTA record that is tried: seconds of a core with the language model in the package
LEAVES_OUT = "starting Ray and its processes (about 10 s on a free machine), writing the file"


@remote.kept("model", places=lambda run: (run.out, run.rejected, run.work))
def stages(run: PredictRun) -> Estimate:
    """Parts that are missing beside ``run.out``.

    Raises
    ------
    ValueError
        As the job itself does, for options, a model, input or output of no use.
    """
    sources, errors, _, summary = opened(run)
    if summary is not None:
        return Estimate()
    parts = cut(sources)
    there = [part_path(run.work, number).exists() for number in range(len(parts))]
    left = [source for part, done in zip(parts, there, strict=True) for source in part if not done]
    cost = np.array([cost_of(source) for source in left])
    with Trials(run.work) as trials:
        nodes = trials.cluster.nodes
        plan = make_plan([actor_pool("predict", nodes, at_most=len(parts) - sum(there))], nodes)
        rate = None
        if left:
            piece = time_predictions, run.model.resolve(), tried(left, cost), run.max_length
            rate = mean_rate(trials.run(plan["predict"], plan.threads("predict"), *piece))
        line = Line(
            name="predict", unit="proteins", rows=len(sources), done=len(sources) - len(left), stage=plan["predict"],
            parts=f"{sum(there)} of {len(parts)} parts" if any(there) else "",
            seconds=seconds_for(float(cost.sum()), rate, plan["predict"].workers),
        )  # fmt: skip
        more = f"; {len(errors)} inputs are unusable" if errors else ""
        return trials.estimate([line], LEAVES_OUT + more)


def cost_of(source: Source) -> float:
    """Forward tokens of a FASTA record; 1 for an alignment."""
    length = len(source.sequence or "")
    return float(length * (length + SPECIAL_TOKENS)) if source.sequence is not None else 1.0


def tried(sources: list[Source], cost: np.ndarray) -> list[Source]:
    """Some of the proteins, drawn in proportion to their cost but for the longest, which would take minutes."""
    most = max(float(cost.min()), float(LONGEST * (LONGEST + SPECIAL_TOKENS)))
    usual = np.flatnonzero(cost <= most)
    weights = cost[usual] / cost[usual].sum()
    return [sources[row] for row in np.random.default_rng(0).choice(usual, SOME, p=weights)]


def time_predictions(process: Process, model: Path, sources: list[Source], max_length: int) -> Timed:
    """Proteins that are read and predicted, one by one."""
    from protray.inference.predict import Predictor

    process.use_torch()
    predictor = Predictor.open(remote.pull(model), device=process.device)

    def pieces() -> Iterator[float]:
        for source in itertools.cycle(sources[process.rank :: min(process.of, len(sources))]):
            predict_part(predictor, [source], max_length)
            yield cost_of(source)

    return timed(pieces(), process.seconds)
