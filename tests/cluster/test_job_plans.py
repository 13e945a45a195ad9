"""``--plan`` of every job: what it shows, what it takes off for what is done, and that it leaves no trace.

Pieces of work run in this process and for a moment only; one test goes through Ray.
"""

import importlib.util
import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest
from protray.pipelines.language_model.map_parts import Rows, Span, write_part
from protray.pipelines.language_model.map_units import MapConfig
from score_nets import save_random_net
from structure_text import pdb, pdb_chain
from tiny_model import save_tiny_lm, save_tiny_model

from protray.cluster.batch.shards import Manifest
from protray.cluster.health import estimate
from protray.cluster.health.estimate import Line, Process, Timed, Trials
from protray.cluster.runtime.capacity import Node
from protray.cluster.runtime.resources import Stage, actor_pool, make_plan
from protray.cluster.runtime.start import Cluster
from protray.inference.many import Source
from protray.seq.alphabet import AMINO_ACIDS

JOBS = Path(__file__).parents[2] / "jobs"
TWO = Cluster((Node({"CPU": 2.0}),), local=True, ours=False)


def job(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"job_{name}", JOBS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sequence(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices(AMINO_ACIDS, k=length))


def run_here(self: Trials, stage: Stage, threads: int, piece: Callable, *args: object, env: object = None) -> list:
    """One process of the stage, in this one, for 20 ms."""
    return [piece(Process(0, stage.workers, 1, "cpu", 0.02), *args)]


@pytest.fixture
def here(monkeypatch) -> None:
    monkeypatch.setattr(estimate, "start_ray", lambda: TWO)
    monkeypatch.setattr(estimate, "stop_ray", lambda cluster: None)
    monkeypatch.setattr(Trials, "run", run_here)


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> Path:
    return save_tiny_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture
def fasta(tmp_path) -> Path:
    path = tmp_path / "p.fasta"
    path.write_text("".join(f">p{n}\n{sequence(n, 30 + 2 * n)}\n" for n in range(12)))
    return path


def by_name(lines: tuple[Line, ...]) -> dict[str, Line]:
    return {line.name: line for line in lines}


@pytest.mark.ray
def test_a_command_prints_the_table_and_leaves_no_trace(ray_local, fasta, lm, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(estimate, "TRIAL_S", 0.1)
    monkeypatch.setattr(estimate, "LIMIT_S", 600.0)  # of a busy machine
    out = tmp_path / "out"
    assert job("prob_maps").main(["--data", str(fasta), "--lm", str(lm), "--out", str(out), "--plan"]) == 0
    shown = capsys.readouterr().out
    assert "maps   12 proteins" in shown and "in all     about" in shown and "nothing was written there" in shown
    assert not out.exists()


BAD = [
    ("prob_maps", ["--data", "{folder}/nowhere.fasta"]),
    ("prob_maps", ["--data", "{fasta}", "--window", "1"]),
    ("prob_maps", ["--data", "{fasta}", "--lm", "/no/model"]),
    ("prepare", ["--msas", "{folder}/nowhere"]),
    ("prepare_structures", ["--structures", "{folder}/nowhere"]),
    ("pseudo_msa", ["--maps", "{folder}/nowhere"]),
    ("pseudo_msa", ["--maps", "{folder}", "--sequences", "0"]),
    ("predict", ["--model", "{folder}/nowhere", "--fasta", "{fasta}"]),
    ("embed", ["--model", "{folder}/nowhere"]),
    ("score_net", ["--data", "{folder}/nowhere"]),
    ("score_net", ["--workers", "3"]),
]


@pytest.mark.parametrize(("name", "options"), BAD, ids=lambda value: value if isinstance(value, str) else value[-1])
def test_what_stops_the_job_stops_its_plan_with_the_same_words(name, options, fasta, tmp_path, capsys) -> None:
    given = [option.format(folder=tmp_path, fasta=fasta) for option in options]
    given += ["--out", str(tmp_path / ("out.parquet" if name == "predict" else "out"))]
    before = sorted(tmp_path.rglob("*"))
    module = job(name)
    assert module.main([*given, "--plan"]) == 1
    assert sorted(tmp_path.rglob("*")) == before
    planned = capsys.readouterr().err.splitlines()[-1]
    assert module.main(given) == 1
    assert planned.startswith("error: ") and capsys.readouterr().err.splitlines()[-1] == planned


def test_a_folder_of_other_settings_is_refused(here, fasta, lm, tmp_path, capsys) -> None:
    given = ["--data", str(fasta), "--lm", str(lm), "--out", str(tmp_path / "out")]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text(json.dumps({"settings": {"float16": True}, "shards": None}))
    assert job("prob_maps").main([*given, "--plan"]) == 1
    assert "was made differently" in capsys.readouterr().err


def test_maps_by_hand(monkeypatch, lm, tmp_path) -> None:
    """Proteins of 8, 8 and 18 residues cost 80, 80 and 360 tokens.  One of two shards is finished, half of the last is
    there: 180 are left.  Two processes of 45 tokens a second take 2 s for the last protein."""
    from protray.data.lengths import Lengths
    from protray.pipelines.language_model import prob_maps_plan

    config = MapConfig(lm=str(lm))
    manifest = Manifest.open(tmp_path / "out", {})
    lengths = [8, 8, 18]
    sources = [Source(f"p{n}", "f", n, "A" * length) for n, length in enumerate(lengths)]
    manifest.stage(sources, 2, config.tokens)
    assert manifest.shards is not None and [shard.tokens for shard in manifest.shards] == [160, 360]
    manifest.shards[0].finished = True
    parts = manifest.work / "parts-00001"
    parts.mkdir()
    write_part([Rows(Span(0, 0, 9), np.zeros((9, 20), np.float32), None)], parts / "a.arrow", config.schema)
    monkeypatch.setattr(Trials, "run", lambda *_: [Timed(90, 2), Timed(90, 2)])
    trials = Trials(tmp_path)
    plan = make_plan([actor_pool("maps", TWO.nodes)], TWO.nodes)
    line = prob_maps_plan.maps_line(trials, plan, config, Lengths(np.array(lengths), 3, True), manifest)
    assert (line.rows, line.done, line.parts) == (3, 2, "1 of 2 shards")
    assert line.seconds == pytest.approx(180 / (2 * 45))
    fresh = prob_maps_plan.maps_line(trials, plan, config, Lengths(np.array(lengths), 3, True), None)
    assert (fresh.rows, fresh.done, fresh.seconds) == (3, 0, pytest.approx(520 / (2 * 45)))


def test_score_net(here, tmp_path) -> None:
    """10 steps with a point of the curve at each fifth, which scores 120 chains at one level and 32 crops of 16."""
    from dataclasses import replace

    from test_score_net_job import TINY

    from protray.pipelines.structure.score_net_plan import evaluations, stages

    run = replace(TINY, out=tmp_path / "out")
    lines = by_name(stages(run).lines)
    assert not run.out.exists()
    assert (lines["training"].rows, lines["training"].unit) == (10, "steps of 64 crops")
    assert lines["validation"].rows == 2 * (120 + 32 * 16)
    assert lines["denoising gain"].rows == 3
    assert all(line.seconds and line.seconds > 0 for line in lines.values())
    # every 16th of 32 levels of 3 chains, and of 2 chains a step and two ways of n levels
    levels = len(run.net.noise.sigmas()[::16])
    down = 1 + 2 * (1 + int(((run.net.noise.sigmas() < 3.0) & (run.net.noise.sigmas() >= 2.0)).sum()))
    assert evaluations(run.net, run.denoising, np.array([10, 20, 30])) == levels * 1400 + down * 500


def test_pretrain(here, fasta, tmp_path) -> None:
    from protray.pipelines.language_model.pretrain_plan import stages
    from protray.pipelines.language_model.pretrain_run import PretrainRun
    from protray.plm.pretraining import MaskedLmConfig

    held_out = tmp_path / "held.fasta"
    held_out.write_text(f">h\n{sequence(99, 40)}\n")
    lm = MaskedLmConfig(steps=50, warmup=5, crop=32, tokens_at_once=64, tokens_per_step=64, report_every=20)
    run = PretrainRun(fasta=(fasta,), held_out=(held_out,), out=tmp_path / "out", lm=lm)
    lines = by_name(stages(run).lines)
    assert not run.out.exists()
    assert {name: line.rows for name, line in lines.items()} == {
        "corpus": 12, "training": 50, "validation": 3, "maps of held-out proteins": 1,
    }  # fmt: skip
    assert all(line.seconds and line.seconds > 0 for line in lines.values())


def test_predict_takes_off_parts(here, fasta, lm, tmp_path) -> None:
    """12 proteins are 12 parts; with the first three there, what the other nine cost is left."""
    from protray.pipelines.secondary.predict import PredictRun
    from protray.pipelines.secondary.predict_plan import stages

    model = save_tiny_model(tmp_path / "model", lm)
    run = PredictRun(model=model, fasta=fasta, out=tmp_path / "p.parquet")
    (line,) = stages(run).lines
    assert not run.work.exists() and (line.rows, line.done) == (12, 0) and line.seconds
    run.work.mkdir()
    for number in range(3):
        (run.work / f"part-{number:06d}.parquet").write_text("")
    (line,) = stages(run).lines
    assert (line.rows, line.done, line.parts) == (12, 3, "3 of 12 parts")


def test_alignments_count_alike_and_records_by_their_squares() -> None:
    from protray.pipelines.secondary.predict_plan import cost_of, tried

    assert cost_of(Source("a", "a.a3m")) == 1
    assert cost_of(Source("a", "f", 1, "A" * 10)) == 120
    sources = [Source(str(n), "f", 1, "A" * n) for n in (10, 10_000)]
    assert {source.id for source in tried(sources, np.array([cost_of(source) for source in sources]))} == {"10"}


def test_embed(here, tmp_path) -> None:
    from protray.pipelines.structure.embed import EmbedRun
    from protray.pipelines.structure.embed_plan import stages

    run = EmbedRun(model=save_random_net(tmp_path / "net"), out=tmp_path / "out")
    (line,) = stages(run).lines
    assert not run.out.exists() and (line.name, line.rows) == ("embed", 1000) and line.seconds
    folder = structures(tmp_path)
    parse, embed = stages(EmbedRun(model=run.model, out=run.out, structures=(folder,))).lines
    assert (parse.rows, embed.rows, embed.about) == (6, 6, True)
    assert parse.seconds and embed.seconds


def structures(tmp_path: Path) -> Path:
    folder = tmp_path / "pdb"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}abc.pdb").write_text(pdb(pdb_chain(sequence(number, 40))))
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_prepare_structures(here, tmp_path, packed) -> None:
    from protray.pipelines.structure.prepare_structures import StructuresConfig
    from protray.pipelines.structure.prepare_structures_plan import stages

    where = structures(tmp_path)
    if packed:
        with tarfile.open(tmp_path / "pdb.tar.gz", "w:gz") as tar:
            for path in sorted(where.iterdir()):
                member = tarfile.TarInfo(path.name)
                member.size = path.stat().st_size
                tar.addfile(member, io.BytesIO(path.read_bytes()))
        where = tmp_path / "pdb.tar.gz"
    before = sorted(tmp_path.rglob("*"))
    lines = by_name(stages(StructuresConfig(structures=where, out=tmp_path / "out")).lines)
    assert sorted(tmp_path.rglob("*")) == before
    assert {name: line.rows for name, line in lines.items()} == {"parse": 6, "cluster": 6, "write": 6}
    assert all(line.seconds and line.seconds > 0 for line in lines.values())


def test_prepare_takes_off_parsed_parts(here, tmp_path) -> None:
    """64 alignments are two parts; with the first there, half of the parsing is left."""
    from protray.pipelines.secondary.prepare import PrepareConfig
    from protray.pipelines.secondary.prepare_plan import stages

    msas = tmp_path / "msas"
    msas.mkdir()
    for number in range(64):
        (msas / f"p{number:02d}.a3m").write_text(f">q\n{sequence(number, 30)}\n>h\n{sequence(number + 100, 30)}\n")
    config = PrepareConfig(msas=msas, out=tmp_path / "out")
    lines = by_name(stages(config).lines)
    assert not config.out.exists()
    assert (lines["parse"].rows, lines["parse"].done, lines["write"].rows) == (64, 0, 64)
    (config.out / "parsed").mkdir(parents=True)
    (config.out / "parsed" / "part-00000.parquet").write_text("")
    line = by_name(stages(config).lines)["parse"]
    assert (line.done, line.parts) == (32, "1 of 2 parts")


def test_pseudo_msa(here, tmp_path) -> None:
    import pyarrow as pa

    from protray.cluster.storage.files import write_json
    from protray.data import schemas
    from protray.pipelines.language_model import pseudo_msa
    from protray.pipelines.language_model.pseudo_msa import PseudoRun, make_unit, opened
    from protray.pipelines.language_model.pseudo_msa_plan import stages

    rows = [{"id": f"p{n}", "sequence": "ACDEF", "prob_map": [0.05] * 100, "lm_hidden": None} for n in range(40)]
    (tmp_path / "maps").mkdir()
    table = pa.Table.from_pylist(rows, schema=schemas.MAPS)
    pq.write_table(table, tmp_path / "maps" / "maps-00000.parquet", row_group_size=10)
    run = PseudoRun(maps=tmp_path / "maps", out=tmp_path / "out")
    (line,) = stages(run).lines
    assert not run.out.exists() and (line.rows, line.done) == (40, 0) and line.seconds
    run.out.mkdir()
    write_json(run.out / "settings.json", pseudo_msa._settings(run))
    make_unit(run, opened(run)[0][0])
    (line,) = stages(run).lines
    assert (line.rows, line.done, line.parts) == (40, 10, "1 of 4 units")
