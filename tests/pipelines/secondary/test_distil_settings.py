"""Settings of jobs/distil.py, the keys of what it makes, and what it refuses before anything is computed."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from distil_here import run_of
from tiny import tiny_proteins
from tiny_model import save_tiny_lm

from protray.cluster.runtime.command import parse
from protray.cluster.train import driver
from protray.data.location import Location
from protray.losses.weights import TUNED, DistilWeights
from protray.pipelines.language_model import prob_maps
from protray.pipelines.secondary import distil
from protray.pipelines.secondary.distil import JOB, DistilRun
from protray.plm.reading import Reading

pytestmark = pytest.mark.usefixtures("small")


# ---- settings


@pytest.mark.parametrize(
    ("words", "weights", "reading", "train_on"),
    [
        ([], TUNED, Reading(passes=16), "all"),
        (["--model", "paper"], DistilWeights(), Reading(), "deep"),
        (["--model", "medium"], TUNED, Reading(passes=16), "all"),
        (["--model", "paper", "--weights.alpha", "0.88"], DistilWeights(alpha=0.88), Reading(), "deep"),
        (["--passes", "exact", "--model=paper", "--train-on", "all", "--weights.gamma", "0.1"],
         DistilWeights(gamma=0.1), Reading(), "all"),
        (["--passes", "4", "--precision", "bfloat16"], TUNED, Reading("bfloat16", 4), "all"),
    ],
)  # fmt: skip
def test_a_preset_first_then_the_command_line(words, weights, reading, train_on) -> None:
    run = parse(DistilRun, "", words)
    assert (run.weights, run.reading, run.train_on) == (weights, reading, train_on)
    assert run.features.kept_deep == (0.0 if run.model == "paper" else 0.3)


def test_what_cannot_be_had_without_a_language_model(inputs, tmp_path) -> None:
    run = DistilRun(data=inputs[0], lm="none", out=Location(tmp_path))
    assert not any(stage.networks.enhance.bert for stage in distil.stages_of(run))
    assert distil.maps_runs(run, distil.maps_of(run)) == []
    with pytest.raises(ValueError, match="--maps and --ablate bert cannot be had without a language model .*; leave"):
        distil.identity(replace(run, maps=Location(tmp_path), ablate=("bert",)))
    bare = DistilRun(data=inputs[0], enhance_net=False, out=Location(tmp_path))
    assert bare.without_lm and distil.maps_of(bare).lm == "none"
    with pytest.raises(ValueError, match="--lm other has no meaning with --no-enhance-net; leave one of them out"):
        distil.identity(replace(bare, lm="other"))
    with pytest.raises(ValueError, match="--ablate has no meaning with --no-enhance-net"):
        distil.identity(replace(DistilRun.preset("medium"), data=inputs[0], ablate=("cl",)))
    with pytest.raises(ValueError, match="--lm-features hidden cannot be had without a language model"):
        distil.identity(replace(run, lm_features="hidden"))


def test_the_paper_s_networks() -> None:
    from protray.training.secondary.stages import PAPER

    assert DistilRun.preset("paper").networks == PAPER
    assert replace(DistilRun.preset("paper"), epochs=7).networks.fit.epochs == 7


# ---- keys


def keys_of(run: DistilRun) -> tuple[str, dict[str, str]]:
    made = distil.maps_of(run)
    folders = distil.folders_of(run, distil.stages_of(run), made)
    return made.key, {name: folder.name for name, folder in folders.items()}


@pytest.mark.parametrize(
    "change",
    [
        {"reading": Reading("bfloat16", 16)},
        {"reading": Reading(passes=8)},
        {"reading": Reading(passes=16, window=40)},
        {"reading": Reading(passes=16, window=40, overlap=10)},
        {"lm_features": "none"},
    ],
)
def test_the_key_of_the_inputs_holds_how_the_maps_are_read(inputs, tmp_path, change) -> None:
    run = run_of(inputs, Location(tmp_path))
    (one, stages), (other, changed) = keys_of(run), keys_of(replace(run, **change))
    assert one != other
    differ = {name for name in stages.keys() & changed.keys() if stages[name] != changed[name]}
    assert differ == {"protray", "Real + LM"} & changed.keys()  # the others see nothing of the language model


def test_the_processor_does_not_choose_the_precision(inputs, tmp_path, monkeypatch) -> None:
    run, found = run_of(inputs, Location(tmp_path)), []
    for has_bf16 in (True, False):
        monkeypatch.setattr("protray.plm.masked.has_bf16", lambda has_bf16=has_bf16: has_bf16)
        found.append((distil.identity(run), distil.maps_of(run).key, distil.maps_of(run).reading.precision))
    assert found[0] == found[1] and found[0][2] == found[0][0]["precision"] == "float32"


def test_a_language_model_is_known_by_its_content(inputs, tmp_path) -> None:
    import shutil

    copied = str(shutil.copytree(inputs[1], tmp_path / "copied"))
    run = run_of(inputs, Location(tmp_path))
    assert keys_of(run) == keys_of(replace(run, lm=copied))
    assert distil.identity(run) == distil.identity(replace(run, lm=copied))


def test_what_the_maps_do_not_depend_on_is_in_the_keys_of_the_trainings(inputs, tmp_path) -> None:
    run = run_of(inputs, Location(tmp_path))
    made, stages = keys_of(run)
    for change in ({"background": "paper"}, {"seed": 1}, {"epochs": 9}):
        same, others = keys_of(replace(run, **change))
        assert same == made
        assert all(stages[name] != others[name] for name in stages)


def test_weights_change_what_they_enter(inputs, tmp_path) -> None:
    run = run_of(inputs, Location(tmp_path), ablate=("cl",))
    (made, stages), (same, others) = keys_of(run), keys_of(replace(run, weights=replace(TUNED, alpha=0.5)))
    assert made == same
    assert {name for name in stages if stages[name] != others[name]} == {"protray", "w/o CL"}


# ---- what is refused


def test_a_folder_of_something_else_is_refused(inputs, tmp_path) -> None:
    out = Location(tmp_path) / "out"
    (out / "run.json").write_json({"net": {}, "fit": {}})
    with pytest.raises(ValueError, match="belongs to another job"):
        driver.run_training(JOB, run_of(inputs, out))
    (out / "run.json").remove()
    (out / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="no folder of such a job"):
        driver.run_training(JOB, run_of(inputs, out))


def test_maps_that_do_not_fit_are_refused(inputs, tmp_path) -> None:
    maps = Location(tmp_path) / "maps"
    run = DistilRun(data=inputs[0], maps=maps, out=Location(tmp_path) / "out")
    with pytest.raises(ValueError, match=r"no finished --out of jobs/prob_maps\.py"):
        distil.identity(run)
    identity = prob_maps.identity(prob_maps.ProbMaps(data=inputs[0], lm=inputs[1], out=maps, reading=Reading(passes=8)))
    (maps / "summary.json").write_json({"identity": identity, "n_again": 2})
    with pytest.raises(ValueError, match="2 proteins are to be tried again"):
        distil.identity(run)
    (maps / "summary.json").write_json({"identity": identity, "n_again": 0})
    assert distil.identity(run)["passes"] == 8  # what was not asked for is as the maps are
    assert distil.identity(replace(run, reading=Reading(passes=8), lm=inputs[1]))["passes"] == 8
    for change, both in (
        ({"reading": Reading(passes=4)}, "float32, 8 passes for a protein.*float32, 4 passes"),
        ({"data": None}, "digest tiny, and the sample has [0-9a-f]{16}"),
        ({"lm_features": "hidden"}, "no hidden state"),
    ):
        with pytest.raises(ValueError, match=both):
            distil.identity(replace(run, **change))
    other = save_tiny_lm(tmp_path / "lm", "absolute")
    with pytest.raises(ValueError, match=f"they are of the language model {inputs[1]} .*, not of {other}"):
        distil.identity(replace(run, lm=str(other)))


def test_a_dataset_of_no_use_is_refused_before_maps_are_computed(inputs, tmp_path, monkeypatch) -> None:
    """All its proteins are for training."""
    import pyarrow as pa

    table = tiny_proteins().table
    position = table.schema.get_field_index("split")
    table = table.set_column(position, table.schema.field(position), pa.array(["train"] * len(table)))
    with (Location(tmp_path) / "data" / "proteins" / "part-0.parquet").writing() as partial:
        pq.write_table(table, partial)
    (Location(tmp_path) / "data" / "dataset.json").write_json({"digest": "other"})
    monkeypatch.setattr("protray.cluster.batch.driver.run_batch", lambda *_: pytest.fail("maps were computed"))
    run = run_of((Location(tmp_path) / "data", inputs[1]), Location(tmp_path) / "out")
    with pytest.raises(ValueError, match="no labelled validation proteins"):
        distil.prepare_inputs(run)
    with pytest.raises(ValueError, match="no labelled validation proteins"):
        distil.stages(run, None)
