"""Probability maps: what is read, cut, computed and put together, by hand; and the whole job on a small Ray."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_here import TWO
from tiny_model import LM_CHANNELS, save_tiny_lm

from protray.cluster.batch import driver, folder
from protray.cluster.batch.command import batch_command
from protray.cluster.batch.driver import run_batch
from protray.cluster.batch.job import Span
from protray.cluster.health import estimate
from protray.cluster.runtime.capacity import Node
from protray.cluster.runtime.start import Cluster
from protray.data import schemas
from protray.data.columns import large_lists
from protray.data.location import Location
from protray.data.secondary.dataset import read_table
from protray.pipelines.language_model import prob_maps
from protray.pipelines.language_model.prob_maps import (
    BESIDE_WEIGHTS,
    JOB,
    ProbMaps,
    amount,
    cost,
    cut,
    merge,
    open_lm,
    rows,
    schema,
    seconds_per_token,
    work,
)
from protray.plm import masked
from protray.plm.masked import hidden_rows, map_rows
from protray.plm.reading import Reading
from protray.seq.alphabet import encode
from protray.seq.errors import InputError

PROTEINS = {f"p{n}": ("MKTAYIAKQRLEDWCHFGPNSV" * 3)[n : n + 10 + 2 * n] for n in range(12)}


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> Path:
    """Reads 36 residues: the longest of `PROTEINS`, 32, and no more than that."""
    return save_tiny_lm(tmp_path_factory.mktemp("lm"), positions="absolute")


@pytest.fixture
def run(lm: Path, tmp_path: Path) -> ProbMaps:
    return ProbMaps(data=Location(tmp_path / "p.fasta"), lm=str(lm), out=Location(tmp_path / "out"))


def write_fasta(run: ProbMaps, proteins: dict[str, str], more: str = "") -> None:
    assert run.data
    run.data.write_text("".join(f">{name} x\n{letters}\n" for name, letters in proteins.items()) + more)


@pytest.mark.ray
def test_spans_and_windows_give_the_models_maps(ray_local, run: ProbMaps, lm: Path, monkeypatch) -> None:
    """Items cut all but the shortest proteins; one protein is longer than the model reads.  For one and two actors."""
    proteins = PROTEINS | {"long": "MKTAYIAKQRLEDWCHFGPNSV" * 4}
    write_fasta(run, proteins, ">b\n1\n")
    monkeypatch.setattr(masked, "TOKENS_AT_ONCE", 50)
    monkeypatch.setattr(folder, "WORTH_AN_ACTOR_S", 1e-9)
    two, run = replace(run, hidden=True, actors=2, out=Location(f"{run.out}-two")), replace(run, hidden=True, actors=1)
    for some in (two, run):
        monkeypatch.setattr(driver, "ITEMS_PER_ACTOR", 40 // some.actors)  # the same items
        summary = run_batch(JOB, some)
        assert (summary["n_rows"], summary["n_rejected"], summary["n_again"]) == (13, 1, 0)
    table = read_table(run.out.path / "maps", schemas.MAPS)
    assert table.equals(read_table(two.out.path / "maps", schemas.MAPS))
    assert table["id"].to_pylist() == sorted(proteins)  # `read_table` sorts
    assert pq.read_schema(run.out / "maps" / "part-00000.parquet").metadata[b"residue_order"] == b"ARNDCQEGHILKMFPSTWYV"
    model = masked.load(str(lm))
    for row in table.to_pylist():
        codes_L = encode(row["sequence"])
        assert row["sequence"] == proteins[row["id"]]
        np.testing.assert_allclose(np.reshape(row["prob_map"], (-1, 20)), map_rows(model, codes_L), atol=1e-6)
        hidden_LC = np.reshape(row["lm_hidden"], (-1, LM_CHANNELS))
        np.testing.assert_allclose(hidden_LC, hidden_rows(model, codes_L), rtol=1e-3, atol=1e-3)
    assert run_batch(JOB, run)["cached"]
    with pytest.raises(ValueError, match="float16 was False, is True"):
        run_batch(JOB, replace(run, float16=True))


@pytest.mark.ray
def test_the_command_prints_its_plan(ray_local, run: ProbMaps, monkeypatch, capsys) -> None:
    monkeypatch.setattr(estimate, "TRIAL_S", 0.1)
    monkeypatch.setattr(estimate, "LIMIT_S", 600.0)  # of a busy machine
    write_fasta(run, PROTEINS)
    assert batch_command(JOB, ProbMaps, "", ["--data", str(run.data), "--lm", run.lm, "--out", run.out, "--plan"]) == 0
    shown = capsys.readouterr().out
    assert "12 proteins" in shown and "in all     about" in shown and "nothing was written there" in shown
    assert not run.out.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lm": "nobody/no-such-model"}, "language model nobody/no-such-model: it cannot be loaded"),
        ({"data": Location("nowhere.fa")}, r"nowhere\.fa: no such file or folder"),
        ({"data": Location("s3://bucket/x.fasta")}, "must be a file or folder that all nodes see, not an address"),
    ],
)
@pytest.mark.parametrize("plan", [False, True])
def test_refused_before_anything_starts(run: ProbMaps, monkeypatch, capsys, change, message, plan) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(driver, "start_ray", lambda: pytest.fail("Ray was started"))
    monkeypatch.setattr(estimate, "start_ray", lambda: pytest.fail("Ray was started"))
    monkeypatch.setattr(Location, "is_file", lambda self: False if self.is_address else Path(self).is_file())
    monkeypatch.setattr(Location, "is_dir", lambda self: False if self.is_address else Path(self).is_dir())
    write_fasta(run, {"a": "A"})
    run = replace(run, **change)
    options = ["--data", str(run.data), "--lm", run.lm, "--out", run.out]
    assert batch_command(JOB, ProbMaps, "", [*options, "--plan"] if plan else options) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and re.search(message, said) and not run.out.exists()


@pytest.mark.ray
def test_a_model_without_a_head_is_one_line_at_the_end(
    ray_local, run: ProbMaps, lm: Path, tmp_path: Path, capfd
) -> None:
    """No traceback, nothing computed, and the same on the second try."""
    from transformers import EsmConfig, EsmModel

    headless = tmp_path / "headless"
    shutil.copytree(lm, headless)
    EsmModel(EsmConfig.from_pretrained(lm), add_pooling_layer=False).save_pretrained(headless)
    write_fasta(run, {"a": "ACDEFGHIK"})
    capfd.readouterr()
    for _ in range(2):
        options = ["--data", str(run.data), "--lm", str(headless), "--out", run.out]
        assert batch_command(JOB, ProbMaps, "", options) == 1
        said = capfd.readouterr().err
        assert f"\nerror: language model {headless}: its files lack 5 of 44 weights: lm_head.bias, " in "\n" + said
        assert said.endswith("it has no masked-LM head (saved as EsmModel), and maps would be random\n")
        assert "Traceback" not in said
        assert not (run.out / "summary.json").exists()


FASTA = """text
>a one
acde
FG*
>b
BZUOJAX
>empty
>a
CCC
>num
AC1
>
AA
>gap
A-C
"""


def test_what_is_unusable_is_named_with_its_line(run: ProbMaps) -> None:
    write_fasta(run, {}, FASTA)
    found = list(rows(run))
    usable = [row for row in found if not isinstance(row, InputError)]
    assert [(row["id"], row["sequence"], row["line"]) for row in usable] == [("a", "ACDEFG", 2), ("b", "XXXXXAX", 5)]
    bad = [(row.id, row.line, row.file) for row in found if isinstance(row, InputError)]
    assert sorted(bad, key=lambda one: one[1] or 0) == [
        (None, 1, run.data), ("empty", 7, run.data), ("a", 8, run.data), ("num", 10, run.data), (None, 12, run.data),
        ("gap", 14, run.data),
    ]  # fmt: skip


def test_what_a_protein_costs(run: ProbMaps) -> None:
    """100 residues: 100 x 102 tokens, or with windows of 10 100 x 12."""
    each = seconds_per_token(run.lm)
    protein = {"sequence": "A" * 100}
    assert cost(run, protein) == pytest.approx(10_200 * each)
    windows = replace(run, reading=Reading(window=10))
    assert cost(windows, protein) == pytest.approx(1_200 * each)
    assert cost(windows, {"sequence": "A" * 5}) == pytest.approx(35 * each)
    write_fasta(run, PROTEINS)
    found = amount(run)
    assert found.exact and found.rows == 12
    assert found.cost == pytest.approx(sum(cost(run, {"sequence": letters}) for letters in PROTEINS.values()))


def test_an_actor_asks_for_the_memory_of_its_model(run: ProbMaps, monkeypatch) -> None:
    """6.7 GB: one in 8 GB; in 400 GB 59, whatever the number of cores, or as many as the user says."""
    monkeypatch.setattr(prob_maps, "weight_bytes", lambda lm: 3_000_000_000)
    memory = 6_000_000_000 + BESIDE_WEIGHTS
    large = Cluster((Node({"CPU": 128.0, "memory": 400e9}),), local=False, ours=False)
    for change, cluster, actors, cpus in (
        ({}, TWO, 1, 0.5),
        ({}, large, 59, 1),
        ({"actors": 3}, large, 3, 1),
        ({"cpus_per_actor": 4.0}, large, 31, 4),
    ):
        stage = folder.pool(JOB, replace(run, **change), cluster, cost=1e6)[JOB.name]
        assert (stage.workers, stage.cpus_per_worker) == (actors, cpus)
        assert stage.memory_per_worker == stage.options["memory"] == memory


def test_long_proteins_are_cut_by_hand(run: ProbMaps, monkeypatch) -> None:
    """8 residues cost 10 tokens each; a pass of 20 tokens takes 2, and of 5 residues (50 tokens) 4 fill passes."""
    monkeypatch.setattr(masked, "TOKENS_AT_ONCE", 20)
    seconds = 50.5 * seconds_per_token(run.lm)
    assert cut(run, {"sequence": "A" * 8}, seconds) == [(0, 4), (4, 8)]
    assert cut(run, {"sequence": "A" * 8}, 0) == [(start, start + 2) for start in (0, 2, 4, 6)]
    assert cut(replace(run, reading=Reading(passes=4)), {"sequence": "A" * 8}, seconds) == [(0, 8)]


def spans_table(run: ProbMaps, *spans: tuple[int, str, int, int, float]) -> pa.Table:
    """Rows `start` to `stop` - 1 of the map of a protein, all of one value."""
    maps = [np.full((stop - start, 20), value, dtype=np.float32) for *_, start, stop, value in spans]
    return pa.table(
        {
            "number": pa.array([number for number, *_ in spans], pa.int64()),
            "start": pa.array([start for *_, start, _, _ in spans], pa.int32()),
            "id": [f"p{number}" for number, *_ in spans],
            "sequence": [sequence for _, sequence, *_ in spans],
            "prob_map": large_lists(maps, schema(run).field("prob_map").type),
        }
    )


@pytest.mark.parametrize("float16", [False, True])
def test_a_table_is_put_together_from_spans(run: ProbMaps, float16: bool) -> None:
    """0: whole; 1: three spans; 2: a hole at its end."""
    run = replace(run, float16=float16)
    table = spans_table(
        run, (0, "AA", 0, 2, 0.25), (1, "CCCCC", 0, 2, 1), (1, "CCCCC", 2, 4, 0.75), (1, "CCCCC", 4, 5, 0.5),
        (2, "DDD", 0, 2, 0),
    )  # fmt: skip
    found = merge(table)
    assert found["id"].to_pylist() == ["p0", "p1"]
    maps = [np.reshape(row, (-1, 20))[:, 7].tolist() for row in found["prob_map"].to_pylist()]
    assert maps == [[0.25, 0.25], [1, 1, 0.75, 0.75, 0.5]]
    assert found.schema.field("prob_map").type == schema(run).field("prob_map").type
    assert merge(table.slice(0, 0)).num_rows == 0


def test_what_does_not_fit_is_tried_again_and_what_is_not_finite_is_rejected(run: ProbMaps, monkeypatch) -> None:
    def fake(lm, codes_L, start, stop, reading):  # noqa: ANN001, ANN202
        if len(codes_L) == 3:
            raise MemoryError("too big")
        if len(codes_L) == 5:
            raise KeyError("odd")
        return np.full((stop - start, 20), np.inf if len(codes_L) == 4 else 0.05)

    monkeypatch.setattr(masked, "map_rows", fake)
    spans = [
        Span(number, {"id": letters, "sequence": letters, "file": "f", "line": number})
        for number, letters in enumerate(["AA", "CCC", "DDDD"])
    ]
    done = work((run, None), spans)  # type: ignore[arg-type]
    assert done.rows["id"].to_pylist() == ["AA"] and done.rows["prob_map"].to_pylist() == [pytest.approx([0.05] * 40)]
    assert done.again == [(spans[1], "out of memory: too big")]
    assert [(error.id, error.line, error.reason) for error in done.rejected] == [
        ("DDDD", 2, "the probabilities of the language model are not finite")
    ]
    with pytest.raises(KeyError):
        work((run, None), [replace(spans[0], row=spans[0].row | {"sequence": "EEEEE"})])  # type: ignore[arg-type]


def test_windows_that_the_model_cannot_read(run: ProbMaps) -> None:
    with pytest.raises(ValueError, match="windows of 36 residues cannot share 36"):
        open_lm(replace(run, reading=Reading(overlap=36)), "cpu")
