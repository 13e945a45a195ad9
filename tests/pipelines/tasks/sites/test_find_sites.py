"""jobs/find_sites.py with untrained networks: sequences, structures, each kind of embeddings, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from batch_here import plan_here, use_no_ray
from score_nets import save_random_net
from structure_text import helix, pdb, pdb_chain

from protray.cluster.batch.driver import run_batch
from protray.cluster.batch.measure import estimate
from protray.data import schemas
from protray.data.location import Location
from protray.data.sites.batch import FeatureSet
from protray.data.sites.table import SiteProtein
from protray.inference.tasks.find_sites import SiteFinder
from protray.models.tasks.site_config import SiteNetConfig
from protray.models.tasks.site_net import SiteNet
from protray.pipelines.tasks.sites.find_sites import JOB, FindSites
from protray.training.tasks.folder import STRUCTURE_MODEL
from protray.training.tasks.sites.export import save_site_net

NET = SiteNetConfig(hidden=(8, 4), ratio=0.1)
READS = {"plain": ({}, 0), "lm": ({"lm": "shipped"}, 192), "net": ({"noise": 1.0}, 8)}
SEQUENCES = {"x_A": "MKVLITGAGSGIGLA", "x_B": "MWRKPLEEDYTN"}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A network of each kind, as jobs/sites.py leaves them, and one that reads PSSMs."""
    folder = tmp_path_factory.mktemp("models")
    for name, (reads, channels) in READS.items():
        torch.manual_seed(0)
        save_site_net(
            folder / name, NET, SiteNet(NET, 20, channels).state_dict(), FeatureSet(channels=channels), 0.5, reads
        )
    save_random_net(folder / "net" / STRUCTURE_MODEL)
    save_site_net(folder / "pssm", NET, SiteNet(NET, 40).state_dict(), FeatureSet(pssm=True), 0.5, {})
    return folder


@pytest.fixture
def run(tmp_path, models) -> FindSites:
    """Two chains in one structure file, and a file that is none."""
    folder = tmp_path / "structures"
    folder.mkdir()
    chains = [pdb_chain(sequence, id[-1], helix(len(sequence))) for id, sequence in SEQUENCES.items()]
    (folder / "x.pdb").write_text(pdb(*chains))
    (folder / "notes.txt").write_text("none\n")
    return FindSites(
        model=Location(models / "plain"), structures=(Location(folder),), out=Location(tmp_path / "out"),
        max_rejected=0.5,
    )  # fmt: skip


@pytest.mark.parametrize("kind", READS)
def test_every_chain_of_a_structure(run, models, monkeypatch, kind) -> None:
    """What the network gives for the chain alone; coordinates in files have three digits."""
    use_no_ray(monkeypatch)
    run = replace(run, model=Location(models / kind))
    summary = run_batch(JOB, run)
    assert (summary["n_rows"], summary["n_rejected"]) == (2, 1)
    table = pq.read_table(run.out / "sites" / "part-00000.parquet")
    assert table.schema.equals(schemas.FOUND_SITES)
    finder = SiteFinder.open(models / kind)
    for row in table.to_pylist():
        sequence = SEQUENCES[row["id"]]
        assert row["sequence"] == sequence and row["residues"] == [str(n + 1) for n in range(len(sequence))]
        protein = SiteProtein(row["id"], sequence, np.full(len(sequence), -1, np.int8), "")
        (prob_L,) = finder([finder.embedded(protein, helix(len(sequence)))])
        np.testing.assert_allclose(row["prob"], prob_L, atol=5e-3)
        assert row["site"] == "".join("1" if prob >= 0.5 else "0" for prob in row["prob"])
    assert run_batch(JOB, run)["cached"]


def test_sequences_alone(run, models, tmp_path, no_ray) -> None:
    """Repeated ids and what is no protein are named."""
    fasta = tmp_path / "new.fasta"
    fasta.write_text(">a\nMKVLI\nTGAG\n>b\nMK1\n>a\nMM\n")
    found = run_batch(
        JOB, replace(run, model=Location(models / "lm"), structures=(), fasta=Location(fasta), max_rejected=1.0)
    )
    assert (found["n_rows"], found["n_rejected"]) == (1, 2)
    (row,) = pq.read_table(run.out / "sites" / "part-00000.parquet").to_pylist()
    assert (row["id"], row["sequence"], len(row["prob"]), row["residues"]) == ("a", "MKVLITGAG", 9, None)
    reasons = {row["line"]: row["reason"] for row in pq.read_table(run.out / "rejected.parquet").to_pylist()}
    assert "'1' at position 3" in reasons[4] and "is also that of a protein before it" in reasons[6]


@pytest.mark.ray
def test_on_ray(ray_local, run) -> None:
    assert run_batch(JOB, run)["n_rows"] == 2


def test_a_plan_counts_files(run, monkeypatch) -> None:
    plan_here(monkeypatch)
    (line,) = estimate(JOB, run).lines
    assert line.rows == 1 and line.seconds and not run.out.exists()


def test_what_cannot_be_done_is_refused(run, models, tmp_path) -> None:
    fasta = Location(tmp_path / "new.fasta")
    with pytest.raises(ValueError, match="exactly one of --structures and --fasta"):
        JOB.identity(replace(run, fasta=fasta))
    with pytest.raises(ValueError, match="no such file"):
        JOB.identity(replace(run, structures=(), fasta=fasta))
    with pytest.raises(ValueError, match="reads structures; give --structures"):
        JOB.identity(replace(run, structures=(), fasta=fasta, model=Location(models / "net")))
    with pytest.raises(ValueError, match="was trained with PSSMs"):
        JOB.identity(replace(run, model=Location(models / "pssm")))
    with pytest.raises(ValueError, match=r"holds no sites\.json"):
        JOB.identity(replace(run, model=Location(tmp_path)))
