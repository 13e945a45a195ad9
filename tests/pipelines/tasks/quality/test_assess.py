"""jobs/assess.py with untrained networks: files good and bad, each kind of embeddings, and what is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from batch_here import plan_here, use_no_ray
from decoys_here import decoys
from score_nets import save_random_net
from structure_text import pdb_chain

from protray.cluster.batch.driver import run_batch
from protray.cluster.batch.measure import estimate
from protray.data import schemas
from protray.data.decoys.graphs import Widths
from protray.data.location import Location
from protray.inference.tasks.assess import Assessor
from protray.models.tasks.graphqa import GraphQa
from protray.models.tasks.graphqa_config import GLOBAL, GraphQaConfig
from protray.pipelines.tasks.quality.assess import JOB, Assess
from protray.training.tasks.folder import STRUCTURE_MODEL
from protray.training.tasks.quality.export import save_graphqa

NET = GraphQaConfig(layers=2, edges=(8, 8), nodes=(8, 8), whole=(8, 8))
READS = {"plain": ({}, Widths()), "lm": ({"lm": "shipped"}, Widths(192, 0)), "net": ({"noise": 1.0}, Widths(8, 8))}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A network of each kind, as jobs/quality.py leaves them."""
    folder = tmp_path_factory.mktemp("models")
    for name, (reads, widths) in READS.items():
        torch.manual_seed(0)
        weights = GraphQa(NET, widths.residue, widths.pair).state_dict()
        save_graphqa(folder / name, NET, widths, weights, reads)
    save_random_net(folder / "net" / STRUCTURE_MODEL)
    return folder


@pytest.fixture
def run(tmp_path, models) -> Assess:
    """Three models in two files, of which one holds two chains, and a file that is none."""
    folder = tmp_path / "models"
    folder.mkdir()
    one, two, three = decoys(3, 1)
    lines = [pdb_chain(decoy.sequence, name, decoy.backbone_L43) for decoy, name in ((one, "A"), (two, "B"))]
    (folder / "complex.pdb").write_text("\n".join([*lines[0], "TER", *lines[1], "TER", "END", ""]))
    (folder / "single.pdb").write_text("\n".join(pdb_chain(three.sequence, "A", three.backbone_L43)))
    (folder / "notes.txt").write_text("none\n")
    return Assess(
        model=Location(models / "plain"), structures=(Location(folder),), out=Location(tmp_path / "out"),
        max_rejected=0.5,
    )  # fmt: skip


@pytest.mark.parametrize("kind", READS)
def test_every_chain_gets_its_scores(run, models, monkeypatch, kind) -> None:
    """Those that the network gives for the chain alone; coordinates in files have three digits."""
    use_no_ray(monkeypatch)
    summary = run_batch(JOB, replace(run, model=Location(models / kind)))
    assert (summary["n_rows"], summary["n_rejected"]) == (3, 1)
    table = pq.read_table(run.out / "scores" / "part-00000.parquet")
    assert table.schema.equals(schemas.ASSESSED)
    found = {row["id"]: row for row in table.to_pylist()}
    assert list(found) == ["complex_A", "complex_B", "single_A"]
    assessor = Assessor.open(models / kind)
    for decoy, row in zip(decoys(3, 1), found.values(), strict=True):
        ((local_LS, global_S),) = assessor([decoy])
        assert row["sequence"] == decoy.sequence
        assert row["gdt_ts"] == pytest.approx(global_S[GLOBAL.index("gdt_ts")], abs=0.01)
        np.testing.assert_allclose(row["residue_lddt"], local_LS[:, 0], atol=0.02)
    assert run_batch(JOB, replace(run, model=Location(models / kind)))["cached"]


@pytest.mark.ray
def test_on_ray(ray_local, run) -> None:
    assert run_batch(JOB, run)["n_rows"] == 3
    rejected = pq.read_table(run.out / "rejected.parquet").to_pylist()
    assert [Path(row["file"]).name for row in rejected] == ["notes.txt"]


def test_a_plan_counts_files(run, monkeypatch) -> None:
    plan_here(monkeypatch)
    (line,) = estimate(JOB, run).lines
    assert line.rows == 2 and line.seconds and not run.out.exists()


def test_what_is_no_model_is_refused(run, models, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"holds no graphqa\.json"):
        JOB.identity(replace(run, model=Location(tmp_path)))
    shutil.copytree(models / "net", tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken" / STRUCTURE_MODEL)
    with pytest.raises(ValueError, match=r"structure_model is no folder; give the folder"):
        JOB.identity(replace(run, model=Location(tmp_path / "broken")))
    with pytest.raises(ValueError, match="does not exist"):
        JOB.identity(replace(run, structures=(Location(tmp_path / "nowhere"),)))
