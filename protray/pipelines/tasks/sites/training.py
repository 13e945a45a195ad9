"""Interaction sites of proteins: DeepPPISP with and without embeddings, against simple baselines.

``OUT/proteins``       the labelled proteins, unless they are those of the package (`data.py`)
``OUT/model``          a folder for each row of the table: its training with the lowest validation loss
``OUT/predictions.parquet``  true and predicted sites of the test proteins
``OUT/tables.md``      Table 2 of Guo et al. (AAAI 2022), with intervals and spreads over trainings
``OUT/report.html``    the same with figures
``OUT/metrics.json``   all numbers
"""

from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

from protray.cluster.storage.identity import digest
from protray.cluster.train.job import Context, Report, Stage, TrainingJob
from protray.pipelines.structure.inputs import table_rows
from protray.pipelines.tasks.embeddings import JOB as EMBEDDINGS
from protray.pipelines.tasks.embeddings import EmbedProteins, embed_proteins
from protray.pipelines.tasks.planned import amount_of_proteins, embedding_line, inside_line
from protray.pipelines.tasks.sites.data import JOB as LABELS
from protray.pipelines.tasks.sites.data import TABLE, bundled, complexes_of, digest_of, make_proteins
from protray.pipelines.tasks.sites.inputs import PLAIN, SiteData, SitesRun, identity, read_split

if TYPE_CHECKING:
    from protray.cluster.health.estimate import Line, Trials
    from protray.training.world import World

UNREAD = " (bundled, as yours are not read yet)"


def prepare(run: SitesRun, context: Context) -> SiteData:
    """Label the proteins, and embed them for each row that reads embeddings."""
    proteins = make_proteins(run.out, run.data, run.validation, run.fit.seed)
    return SiteData(
        proteins, {row: embed_proteins(run.out, proteins, one) for row, one in run.embeddings.items() if one}
    )


def before(run: SitesRun, trials: "Trials") -> "list[Line]":
    """Labels of complexes, and the embeddings, in a plan; of proteins that are not read yet as if they were bundled."""
    label = complexes_of(run.out, run.data, run.validation, run.fit.seed)
    lines = [inside_line(LABELS, replace(one, plan=True), trials) for one in label]  # nothing is unpacked
    own = (run.out / TABLE).files("*.parquet") if run.data else []
    tables = own or [bundled()]
    about = bool(run.data) and not own
    lengths = [row["length"] for table in tables for row in table_rows(table)]
    for row, by in run.embeddings.items():
        if by is None:
            continue
        amount = replace(amount_of_proteins(by, lengths), exact=not about)
        embed = EmbedProteins(out=run.out, proteins=tuple(tables), by=by, level="residue")
        line = embedding_line(row.removeprefix(f"{PLAIN} + "), EMBEDDINGS, embed, tables, amount, trials)
        lines.append(replace(line, unit=line.unit + UNREAD * about))
    return lines


def stages(run: SitesRun, inputs: SiteData | None) -> list[Stage]:
    """One for each training; a plan does not know how many proteins users' files hold, and counts the bundled ones."""
    from protray.data.sites.table import read_sites

    count = len(read_sites(inputs.proteins if inputs else [bundled()], "train"))
    unit = f"steps of {run.fit.batch} proteins, {run.fit.epochs} epochs of {count}"
    unit += "" if inputs or run.data is None else UNREAD
    key = digest(identity(run))
    return [
        Stage(name, digest([key, name]), run.fit.steps(count), unit, alike=row, params={
            "row": row, "seed": seed, "net": asdict(run.net), "fit": asdict(run.fit)
        })
        for name, (row, seed) in run.trainings.items()
    ]  # fmt: skip


def settings(run: SitesRun, inputs: SiteData) -> dict:
    return {"data": inputs, "net": run.net, "fit": run.fit, "trainings": run.trainings}


def trial(run: SitesRun, stage: Stage) -> dict:
    """Epochs of two batches of bundled proteins, with random embeddings of the width of the row's."""
    row, seed = run.trainings[stage.name]
    by = run.embeddings[row]
    few = {"width": by.width if by else 0, "proteins": 2 * run.fit.batch}
    return settings(run, SiteData([bundled()], {})) | {"trainings": {stage.name: (row, seed)}, "few": few}


def loop(settings: dict, report: Report, resume: dict | None, world: "World") -> None:
    """Train the networks one after another."""
    from protray.training.tasks.turns import in_turn

    in_turn(
        {name: partial(train, settings, world, *of) for name, of in settings["trainings"].items()}, report, resume
    )  # fmt: skip


def train(settings: dict, world: "World", row: str, seed: int, report: Report, resume: dict | None) -> dict:
    """One training."""
    from protray.data.sites.batch import FeatureSet
    from protray.training.tasks.sites.fit import fit

    training, validation = (read_split(settings["data"], row, split) for split in ("train", "validation"))
    if few := settings.get("few"):
        training = [_embedded(one, few["width"]) for one in training[: few["proteins"]]]
        validation = [_embedded(one, few["width"]) for one in validation[:2]]
    config = replace(settings["fit"], seed=seed)
    return fit(settings["net"], FeatureSet.of(training), training, validation, config, report, resume, world)


def _embedded(protein, width: int):  # noqa: ANN001, ANN202
    import numpy as np

    shape = len(protein.sequence), width
    return replace(protein, residue_LC=np.random.default_rng(0).standard_normal(shape, np.float32) if width else None)


def note(metrics: dict) -> str:
    loss = metrics.get("validation/loss")
    return "" if loss is None else f"validation: {loss:.4f} nats"


def finish(run: SitesRun, inputs: SiteData, state: dict, context: Context) -> dict:
    from protray.pipelines.tasks.sites.results import write_results  # draws: matplotlib is slow to import

    return write_results(run, inputs, state, context)


def show(run: SitesRun, facts: dict) -> None:
    from protray.evaluation.tasks.sites.tables import markdown

    print(markdown(facts["table"], facts["gains"]))
    print(f"models  {run.out / 'model'}\nreport  {run.out / 'report.html'}\nMLflow  {facts['mlflow_ui']}")


JOB = TrainingJob(
    name="sites", seed=lambda run: run.fit.seed, digest=lambda run: digest_of(run.data), identity=identity,
    prepare=prepare, stages=stages, settings=settings, loop=loop, finish=finish, show=show, note=note, trial=trial,
    step_of=lambda state: state["fit"]["position"]["step"], before=before,
)  # fmt: skip
