"""What jobs/prepare.py will do and about how long: parse the alignments, cluster their queries, write the dataset."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

from protray.cluster.batch.parts import part_file
from protray.cluster.batch.parts_plan import LEAVES_OUT, parts_lines, time_parts
from protray.cluster.health.estimate import Estimate, Trials, spread, tasks_stage
from protray.cluster.storage import remote
from protray.data.proteins import protein_schema
from protray.pipelines.secondary.prepare import FOLDER, PART_ROWS, PrepareConfig, finished, items_of, parse_part

SOME = 512  # alignments, of which a trial takes as many as there is time for


@remote.kept(skip=FOLDER)
def stages(config: PrepareConfig) -> Estimate:
    """What is missing in ``config.out``.

    Raises
    ------
    ValueError
        As the job itself does, for input or a folder of no use.
    """
    if finished(config):
        return Estimate()
    items, errors, given = items_of(config)
    if not items:
        first = f", first: {errors[0]}" if errors else ""
        raise ValueError(f"no usable protein among {len(errors)} in {config.msas}{first}")
    sizes = [Path(item.msa_file).stat().st_size for item in items]
    n_parts = -(-len(items) // PART_ROWS)
    done = sum(part_file(config.out / "parsed", part).exists() for part in range(n_parts))
    chosen = spread(len(items), SOME)
    with Trials(config.out) as trials:
        found = trials.run(
            tasks_stage("parse", trials.cluster, n_parts), 1, partial(time_parts, settings=config.proteins), parse_part,
            [asdict(items[row]) for row in chosen], [sizes[row] for row in chosen], protein_schema(config.proteins),
        )  # fmt: skip
        lines = parts_lines(trials, found, "alignments", sizes, done, PART_ROWS, clusters=given is None)
        return trials.estimate(lines, LEAVES_OUT)
