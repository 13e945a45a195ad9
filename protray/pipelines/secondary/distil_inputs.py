"""What PSSM-Distil is trained on: the settings of a run, and the dataset beside its probability maps.

``OUT/cache/maps-KEY``     a finished folder of jobs/prob_maps.py, unless --maps gives one
``OUT/cache/inputs-KEY``   proteins.arrow and maps.arrow, aligned row by row; the key holds all that they depend on.
                           Without a language model there are no maps
``OUT/rejected.parquet``   proteins that have no map, and are left out
"""

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import tyro

from protray.cluster.storage.identity import dataset_digest, digest
from protray.cluster.train.job import TrainingSettings
from protray.data.location import Location
from protray.losses.weights import TUNED, DistilWeights
from protray.pipelines.language_model import prob_maps
from protray.pipelines.language_model.made_with import MadeWith, asked
from protray.plm.hub.folder import check_present
from protray.plm.reading import Reading
from protray.plm.shipped import NO_LM, SHIPPED
from protray.seq.pseudo_msa import Drawing
from protray.seq.pssm import Background

if TYPE_CHECKING:
    from protray.data.secondary.dataset import Proteins
    from protray.data.secondary.features import FeatureConfig
    from protray.training.secondary.stages import Networks

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DistilRun(TrainingSettings):
    """What to train on, what to train, and where to write."""

    data: Location | None = None
    """Folder written by jobs/prepare.py.  Without it: the bundled sample of 1,000 PDB chains."""
    unlabelled: Location | None = None
    """Another such folder of alignments without labels; of their deep ones the student learns what the teacher says."""
    out: Location = Location("runs/distil")
    """Folder to write to (on several nodes one that all of them share), or an s3:// or gs:// address."""
    model: Literal["small", "medium", "paper"] = "small"
    """small: for CPUs, with weights that we tuned.  medium: for 10,000 proteins; three times as wide, in larger batches
    and fewer epochs, without F_e and language model.  paper: 400 units, 300 filters, dropout 0.75, Adam 0.01, 300
    epochs, the paper's weights, trained on deep proteins, exact maps.  Chooses the defaults of the other options."""
    train_on: Literal["deep", "all"] = "all"
    """Proteins to distil on: `deep` is the paper's, `all` adds shallow ones by their labels."""
    teacher_on: Literal["deep", "all"] = "deep"
    """Proteins that the teacher learns on: `deep` is the paper's; one of `all` is the plain classifier, Real."""
    maps: Location | None = None
    """Finished --out of jobs/prob_maps.py for the proteins of --data; without it the maps are computed."""
    lm: str = SHIPPED
    """Masked protein language model: a Hugging Face name or folder, or the small one in the package; `none`: no maps,
    and F_e reads the PSSM alone."""
    reading: tyro.conf.OmitArgPrefixes[Reading] = Reading(passes=16)
    lm_features: Literal["hidden", "none"] = "none"
    """Whether its hidden state goes beside X_b, and both to the student; `none` is the paper's."""
    background: Background = "smoothed"
    """B of every PSSM; `paper` scores an amino acid that never occurs +12.8."""
    drawing: Drawing = "multinomial"
    """How 2,000 pseudo-sequences are drawn; `expected` leaves their sampling noise out."""
    weights: DistilWeights = TUNED
    epochs: int | None = None
    """Of every training; by model if not given."""
    seed: int = 0
    enhance_net: bool = True
    """F_e, which enhances the PSSM before the student reads it.  Without it only Eq. 1 trains the student."""
    ablate: tuple[Literal["bert", "cl", "mse", "enhance"], ...] = ()
    """Trainings without X_b (bert), the triplet loss (cl), the PSSM loss (mse), EnhanceNet (enhance)."""
    rivals: Literal["all", "plain"] = "all"
    """What the model is compared with: all, or the plain classifier alone (Real), which takes much less time."""

    @classmethod
    def preset(cls, model: str = "small") -> "DistilRun":
        """The settings of a model, from which single ones may then depart."""
        if model == "paper":
            return cls(model="paper", train_on="deep", weights=DistilWeights(), reading=Reading())
        if model == "medium":  # as the predictor in the package was trained; what F_e is worth with so many: README.md
            return cls(model="medium", teacher_on="all", enhance_net=False, lm=NO_LM)
        return cls()

    @property
    def without_lm(self) -> bool:
        return self.lm == NO_LM or not self.enhance_net  # F_e alone reads of it

    @property
    def hidden(self) -> bool:
        return self.lm_features == "hidden"

    @property
    def networks(self) -> "Networks":
        from protray.training.secondary import stages

        networks = {"small": stages.SMALL, "medium": stages.MEDIUM, "paper": stages.PAPER}[self.model]
        fit = replace(networks.fit, seed=self.seed, **({} if self.epochs is None else {"epochs": self.epochs}))
        return replace(networks, fit=fit, enhance=replace(networks.enhance, bert=not self.without_lm))

    @property
    def features(self) -> "FeatureConfig":
        from protray.data.secondary.features import FeatureConfig

        kept = 0.0 if self.model == "paper" else FeatureConfig().kept_deep
        return FeatureConfig(
            background=self.background, drawing=self.drawing, lm_hidden=self.hidden, kept_deep=kept, seed=self.seed
        )


@dataclass(frozen=True)
class Inputs:
    """What all trainings read."""

    folder: Location
    proteins: "Proteins"
    made: MadeWith
    left_out: dict  # n_rejected, and how often each reason


def maps_of(run: DistilRun) -> MadeWith:
    """What the maps of a run are, or will be, made with.

    Raises
    ------
    ValueError
        If there is no such language model, if --maps was made with other things than were asked for, or if something
        is asked of no language model.
    """
    proteins = dataset_digest(run.data)
    if not run.enhance_net and (run.ablate or run.lm not in (SHIPPED, NO_LM)):
        what = "--ablate" if run.ablate else f"--lm {run.lm}"
        raise ValueError(f"{what} has no meaning with --no-enhance-net; leave one of them out")
    if run.without_lm:
        needs = {"--maps": run.maps, "--lm-features hidden": run.hidden, "--ablate bert": "bert" in run.ablate}
        if asked_for := [option for option, given in needs.items() if given]:
            raise ValueError(f"{' and '.join(asked_for)} cannot be had without a language model "
                             f"(--lm {NO_LM}, --no-enhance-net); leave one of them out")  # fmt: skip
        return MadeWith(proteins=proteins, lm=NO_LM, fingerprint=NO_LM, reading=Reading())
    if run.maps is None:
        check_present(run.lm)
        return asked(proteins, run.lm, run.reading, run.hidden)
    found = MadeWith.of(run.maps)
    problems = []
    if found.proteins != proteins:
        data = run.data or "the sample"
        problems.append(f"they are of proteins with the digest {found.proteins}, and {data} has {proteins}")
    by_default = run.reading == type(run).preset(run.model).reading  # then any will do
    problems += found.misfits(None if run.lm == SHIPPED else run.lm, None if by_default else run.reading, run.hidden)
    if problems:
        raise ValueError(f"--maps {run.maps} does not fit: {'; '.join(problems)}")
    return replace(found, hidden=run.hidden)


def folder_of(run: DistilRun, made: MadeWith) -> Location:
    """Where dataset and maps are kept."""
    key = digest([made.key, unlabelled_digest(run)]) if run.unlabelled else made.key
    return run.out / "cache" / f"inputs-{key}"


def unlabelled_digest(run: DistilRun) -> str | None:
    return dataset_digest(run.unlabelled) if run.unlabelled else None


def is_prepared(folder: Location) -> bool:
    return (folder / "inputs.json").is_file()


def maps_runs(run: DistilRun, made: MadeWith) -> list[prob_maps.ProbMaps]:
    """The settings of jobs/prob_maps.py for the maps of a run that are not given."""
    if run.without_lm:
        return []
    wanted = [] if run.maps else [(run.data, made.key)]
    if run.unlabelled:  # read as the others were
        wanted.append((run.unlabelled, replace(made, proteins=dataset_digest(run.unlabelled), float16=False).key))
    return [
        prob_maps.ProbMaps(
            data=data, out=run.out / "cache" / f"maps-{key}", lm=made.lm, reading=made.reading, hidden=run.hidden,
            max_rejected=1.0,  # proteins without a map are left out
        )
        for data, key in wanted
    ]  # fmt: skip


def prepare_inputs(run: DistilRun) -> Inputs:
    """Dataset and maps as Arrow files; computes what is not there, and names the proteins that are left out."""
    from protray.cluster.batch.driver import run_batch
    from protray.pipelines.secondary.distil_few import counted
    from protray.training.secondary.stages import check_splits

    made = maps_of(run)
    folder = folder_of(run, made)
    if not is_prepared(folder):
        check_splits(counted(run.data, run.unlabelled))
        maps = [run.maps] if run.maps else []
        for settings in maps_runs(run, made):
            run_batch(prob_maps.JOB, settings)
            maps.append(settings.out)
        _align(run, maps, made, folder)
    facts = (folder / "inputs.json").read_json()
    rejected = run.out / "rejected.parquet"
    if facts["n_rejected"]:
        rejected.write_bytes((folder / "rejected.parquet").read_bytes())
        log.warning("%d proteins have no map and are left out, see %s", facts["n_rejected"], rejected)
    else:
        rejected.remove()  # of other settings
    proteins = read_inputs(folder)
    check_splits(proteins)  # again: the language model may have left some out
    return Inputs(folder, proteins, made, facts)


def read_inputs(folder: Location) -> "Proteins":
    """Dataset and maps, mapped into memory, on any node."""
    from protray.data.arrow import map_arrow
    from protray.data.secondary.dataset import joined

    maps = folder / "maps.arrow"
    table = map_arrow((folder / "proteins.arrow").fetch())
    return joined(table, map_arrow(maps.fetch()) if maps.is_file() else None)


def _align(run: DistilRun, maps: list[Location], made: MadeWith, folder: Location) -> None:
    """Write the proteins that have a map, their maps, and the reasons of the others."""
    from protray.cluster.storage.rejects import group_reasons
    from protray.data.arrow import write_arrow
    from protray.data.parquet import read_parquet
    from protray.data.secondary.dataset import with_unlabelled

    table = dataset(run.data)
    if run.unlabelled:
        both = with_unlabelled(table, others := dataset(run.unlabelled))
        used = both.num_rows - table.num_rows
        log.info("%d of %d unlabelled proteins are used: the deep ones that are not in --data", used, others.num_rows)
        table = both
    rejected = [read_parquet(place / "rejected.parquet") for place in maps]
    with folder.writing() as partial:
        partial.mkdir()
        if maps:
            found = pa.concat_tables([read_maps(place, made) for place in maps]).sort_by("id")
            table, found = only(table, found), only(found, table)
            write_arrow(found, partial / "maps.arrow")
        write_arrow(table, partial / "proteins.arrow")
        reasons = group_reasons([reason for one in rejected for reason in one["reason"].to_pylist()])
        if rejected:
            pq.write_table(pa.concat_tables(rejected), partial / "rejected.parquet")
        facts = {"n_rejected": sum(reasons.values()), "reasons": reasons}
        Location(partial / "inputs.json").write_json(facts)


def read_maps(place: Location, made: MadeWith) -> pa.Table:
    """Finished maps, by id; without the hidden state unless it is asked for."""
    from protray.data import schemas
    from protray.data.secondary.dataset import read_table

    float16 = MadeWith.of(place).float16
    found = read_table(place / "maps", schemas.MAPS_FLOAT16 if float16 else schemas.MAPS).cast(schemas.MAPS)
    if made.hidden:
        return found
    return found.set_column(3, schemas.MAPS.field(3), pa.nulls(len(found), schemas.MAPS.field(3).type))


def only(table: pa.Table, others: pa.Table) -> pa.Table:
    """The rows whose id `others` has, too."""
    known = set(others["id"].to_pylist())
    return table.filter(pa.array([name in known for name in table["id"].to_pylist()], pa.bool_())).combine_chunks()


def dataset(data: Location | None) -> pa.Table:
    """All proteins, in the order of their ids."""
    import ray

    from protray.data import schemas
    from protray.data.sample import sample_table
    from protray.data.secondary.dataset import read_table

    if data:
        return read_table(data / "proteins", schemas.PROTEINS)
    log.info("no --data: using the bundled sample of real PDB chains")
    sample = ray.remote(sample_table).remote()  # in a worker, whose linear algebra keeps to one thread
    return ray.get(sample).sort_by("id").combine_chunks()
