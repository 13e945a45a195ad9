"""``--plan`` of every job: what it shows, what it takes off for what is done, and that it leaves no trace.

Pieces of work run in this process and for a moment only.
"""

import importlib.util
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest
from structure_text import pdb, pdb_chain
from tiny_model import save_tiny_lm

from protray.cluster.health import estimate
from protray.cluster.health.estimate import Line, Process, Trials
from protray.cluster.runtime.capacity import Node
from protray.cluster.runtime.resources import Stage
from protray.cluster.runtime.start import Cluster
from protray.data.sample import SAMPLE
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


BAD = [
    ("prepare", ["--msas", "{folder}/nowhere"]),
    ("prepare_structures", ["--structures", "{folder}/nowhere"]),
    ("score_net", ["--data", "{folder}/nowhere"]),
    ("score_net", ["--workers", "3"]),
]


@pytest.mark.parametrize(("name", "options"), BAD, ids=lambda value: value if isinstance(value, str) else value[-1])
def test_what_stops_the_job_stops_its_plan_with_the_same_words(name, options, fasta, tmp_path, capsys) -> None:
    given = [option.format(folder=tmp_path, fasta=fasta) for option in options]
    given += ["--out", str(tmp_path / "out")]
    before = sorted(tmp_path.rglob("*"))
    module = job(name)
    assert module.main([*given, "--plan"]) == 1
    assert sorted(tmp_path.rglob("*")) == before
    planned = capsys.readouterr().err.splitlines()[-1]
    assert module.main(given) == 1
    assert planned.startswith("error: ") and capsys.readouterr().err.splitlines()[-1] == planned


def test_distil_takes_off_what_is_there(here, monkeypatch, tmp_path) -> None:
    """15 epochs: a first of 2 and fourteen of 1 microsecond per residue; the teacher is finished, maps are there."""
    from dataclasses import asdict

    from protray.pipelines.secondary.distil_run import DistilRun, check_same_settings, data_digest, digest

    from protray.pipelines.secondary import distil_plan
    from protray.pipelines.secondary.distil import slug
    from protray.plm.shipped import fingerprint
    from protray.training.secondary.session import stage_keys

    run = DistilRun(out=tmp_path / "out")
    inputs = {"data": data_digest(None), "lm": fingerprint(run.lm), "features": asdict(run.features)}
    keys = stage_keys(run.stages(0), digest(inputs))
    check_same_settings(run)
    cache = run.out / "cache"
    known, teacher = cache / digest(inputs), cache / f"{slug('teacher')}-{keys['teacher']}"
    for path in (known / "proteins.arrow", known / "maps.arrow", teacher / "stage.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(Trials, "run", lambda *_, **__: [(2e-6, 1e-6)])
    lines = by_name(distil_plan.stages(run).lines)
    assert sorted(tmp_path.rglob("*")) == before
    assert lines["maps"].left == lines["teacher"].left == 0
    shallow = lines["Real (shallow only)"]
    assert (shallow.rows, shallow.unit) == (3600, "proteins, 15 times 240")
    table = pq.read_table(SAMPLE, columns=["ss8", "split"]).to_pylist()
    train = [len(row["ss8"]) for row in table if row["split"] == "train"]
    assert lines["Real"].seconds == pytest.approx(sum(train) * 16e-6)
    assert lines["protray"].rows == 15 * len(train)


def test_distil_times_every_kind_of_training_once(here, monkeypatch, tmp_path) -> None:
    from protray.pipelines.secondary.distil_run import DistilRun

    from protray.pipelines.secondary import distil_plan

    monkeypatch.setattr(distil_plan, "BATCHES", 1)
    timed = []

    def run(self: Trials, stage: Stage, threads: int, piece: Callable, *args: object, env: object = None) -> list:
        timed.append(args[0])
        return run_here(self, stage, threads, piece, *args)

    monkeypatch.setattr(Trials, "run", run)
    found = distil_plan.stages(DistilRun(out=tmp_path / "out", epochs=2, lm_features="hidden"))
    names = [stage.name for stage in timed[1:]]  # after the maps
    assert names == ["teacher", "protray", "Real + LM", "Bagging enhancer", "Bagging"]
    assert all(line.seconds and line.seconds > 0 for line in found.lines)


def test_score_net(here, tmp_path) -> None:
    """10 steps with a point of the curve at each fifth, which scores 120 chains at one level and 32 crops of 16."""
    from dataclasses import replace

    from protray.pipelines.structure.score_net_plan import evaluations, stages
    from test_score_net_job import TINY

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


def structures(tmp_path: Path) -> Path:
    folder = tmp_path / "pdb"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}abc.pdb").write_text(pdb(pdb_chain(sequence(number, 40))))
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_prepare_structures(here, tmp_path, packed) -> None:
    from protray.pipelines.structure.prepare_structures_plan import stages

    from protray.pipelines.structure.prepare_structures import StructuresConfig

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
    from protray.pipelines.secondary.prepare_plan import stages

    from protray.pipelines.secondary.prepare import PrepareConfig

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
