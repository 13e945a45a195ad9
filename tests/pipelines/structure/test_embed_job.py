"""jobs/embed.py on an untrained network: files good and bad, restarts, chains that cost their process, refusals."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from score_nets import CONFIG, random_chain, save_random_net

from protray.cluster.batch.pool import Lost
from protray.data.embeddings import read_embeddings
from protray.data.structures import StructureChain, Structures, read_structures
from protray.inference.embed import Embedder
from protray.inference.embed_part import Failure
from protray.pipelines.structure import embed as module
from protray.pipelines.structure.embed import EmbedRun, embed
from protray.pipelines.structure.embed_units import LEAST_PAIRS, Queue
from protray.seq.alphabet import decode

RESIDUES = "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL".split()  # as AMINO_ACIDS


def pdb(chain: StructureChain, name: str = "A") -> str:
    """C-alpha atoms only; X becomes alanine."""
    lines = []
    for n, (code, (x, y, z)) in enumerate(zip(chain.codes_L % 20, chain.ca_L3, strict=True), start=1):
        residue = RESIDUES[code]
        lines.append(f"ATOM  {n:5d}  CA  {residue} {name}{n:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C  ")
    return "\n".join([*lines, "END", ""])


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_random_net(tmp_path_factory.mktemp("embed") / "model")


@pytest.fixture
def run(tmp_path, model) -> EmbedRun:
    """Six good chains in files, one in the same file name elsewhere, and three files that are bad."""
    folder = tmp_path / "pdb"
    (folder / "again").mkdir(parents=True)
    for length in (5, 8, 40, 41, 60, 90):
        (folder / f"p{length}.pdb").write_text(pdb(random_chain(length, seed=length)))
    (folder / "again" / "p5.pdb").write_text(pdb(random_chain(5, seed=1)))
    chain = random_chain(30)
    (folder / "point.pdb").write_text(pdb(replace(chain, ca_L3=np.zeros_like(chain.ca_L3))))
    (folder / "one.pdb").write_text(pdb(random_chain(1)))
    (folder / "notes.txt").write_text("none\n")
    return EmbedRun(model=model, structures=(folder,), out=tmp_path / "out", level="residue")


def relative(run: EmbedRun, folder: Path) -> EmbedRun:
    return replace(run, structures=(run.structures[0].relative_to(folder),), out=run.out.relative_to(folder))


REASONS = {
    "point.pdb": "are 0.00 Å apart",
    "one.pdb": "1 residues with C-alpha atoms, fewer than",
    "notes.txt": "is no structure format",
}


@pytest.mark.ray
def test_files_good_and_bad(ray_local, run, tmp_path, monkeypatch) -> None:
    summary = embed(run)
    assert (summary["n_embedded"], summary["n_rejected"], summary["cached"]) == (6, 4, False)
    found = {id: (sequence, values) for id, sequence, values in read_embeddings(run.out)}
    assert set(found) == {f"p{length}_A" for length in (5, 8, 40, 41, 60, 90)}
    for length in (8, 40, 90):
        sequence, values_LC = found[f"p{length}_A"]
        chain = random_chain(length, seed=length)
        assert sequence == decode(chain.codes_L % 20)
        assert values_LC.shape == (length, CONFIG.channels)
    rejected = {
        Path(row["file"]).name: row["reason"] for row in pq.read_table(run.out / "rejected.parquet").to_pylist()
    }
    assert "is also that of a chain before it, which is kept" in rejected["p5.pdb"]
    for name, reason in REASONS.items():
        assert reason in rejected[name]
    assert sorted(path.name for path in run.out.iterdir()) == ["embeddings", "manifest.json", "rejected.parquet"]

    times = {path: path.stat().st_mtime_ns for path in run.out.rglob("*.parquet")}
    monkeypatch.chdir(tmp_path)
    again = embed(relative(run, tmp_path))
    assert again["cached"] and again["reasons"] == summary["reasons"]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    with pytest.raises(ValueError, match="was made differently: level was 'residue', is 'pair'. Choose another"):
        embed(replace(run, level="pair"))


@pytest.mark.ray
def test_the_sample_whatever_it_is_computed_with(ray_local, model, tmp_path, monkeypatch) -> None:
    """A run that was stopped goes on; the result is that of each chain alone."""
    whole = read_structures()
    chains = [0, 1, 2, 500, 999]
    few = Structures(
        [whole.ids[m] for m in chains],
        *(np.concatenate([getattr(whole.chain(m), name) for m in chains]) for name in ("codes_L", "index_L", "ca_L3")),
        starts=np.concatenate([[0], np.cumsum(whole.lengths[chains])]),
    )
    monkeypatch.setattr(module, "read_structures", lambda path: few)
    monkeypatch.setattr("protray.pipelines.structure.embed_units.LEAST_PAIRS", 1)
    run = EmbedRun(model=model, out=tmp_path / "out", level="pair")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_finish", stop)
        with pytest.raises(KeyboardInterrupt):
            embed(run)
    parts = sorted((run.out / "embeddings").glob("*.parquet"))
    assert len(parts) == 5
    longest = max(chains, key=lambda m: whole.lengths[m])
    assert pq.read_table(parts[0])["id"].to_pylist() == [whole.ids[longest]]
    parts[1].unlink()
    kept = {path: path.stat().st_mtime_ns for path in parts if path != parts[1]}
    summary = embed(run)
    assert (summary["n_embedded"], summary["n_cached"]) == (5, 4)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept

    found = {id: values for id, _, values in read_embeddings(run.out)}
    embedder = Embedder.open(model)
    assert set(found) == set(few.ids)
    for m in range(len(few)):
        expected_LLC = np.concatenate(list(embedder.pair(few.chain(m))))
        np.testing.assert_allclose(found[few.ids[m]], expected_LLC, rtol=2e-3, atol=1e-4)


@pytest.mark.ray
def test_a_chain_that_costs_its_process_is_given_up(ray_local, run, tmp_path, monkeypatch) -> None:
    """With relative paths, and workers whose working directory is another."""

    class Fragile(module.EmbedActor):
        def embed(self, chains: list[StructureChain], path: Path) -> list:
            if any(chain.id == "p41_A" for chain in chains):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().embed(chains, path)

    with monkeypatch.context() as patch:
        patch.setattr(module, "EmbedActor", Fragile)
        patch.chdir(tmp_path)
        summary = embed(relative(run, tmp_path))
    assert (summary["n_embedded"], summary["n_rejected"], summary["n_again"]) == (5, 5, 1)
    rejected = {row["id"]: row for row in pq.read_table(run.out / "rejected.parquet").to_pylist()}
    assert "its process died" in rejected["p41_A"]["reason"]
    assert rejected["p41_A"]["file"] == "pdb/p41.pdb"
    summary = embed(run)  # with processes that live
    assert (summary["n_embedded"], summary["n_cached"], summary["n_again"]) == (6, 5, 0)
    assert embed(run)["cached"]


@pytest.mark.ray
@pytest.mark.parametrize("names", [["notes.txt"], ["notes.txt", "one.pdb", "point.pdb"]])
def test_files_without_a_usable_chain_are_named(ray_local, run, names) -> None:
    files = tuple(run.structures[0] / name for name in names)
    listing = run.structures[0].parent / "list.txt"
    listing.write_text("\n".join(map(str, files)))
    with pytest.raises(ValueError, match=r"no chain could be embedded; see .*rejected.parquet"):
        embed(replace(run, structures=(listing,)))
    reasons = pq.read_table(run.out / "rejected.parquet")["reason"].to_pylist()
    assert len(reasons) == len(names)
    assert all(any(REASONS[name] in reason for reason in reasons) for name in names)


def structures(*lengths: int) -> Structures:
    starts = np.concatenate([[0], np.cumsum(lengths)])
    zeros_R = np.zeros(starts[-1])
    return Structures([f"c{m}" for m in range(len(lengths))], zeros_R, zeros_R, zeros_R, starts)


def test_units_are_cut_by_pairs_the_longest_first(tmp_path) -> None:
    lengths = [300, 2000, 600, 300, 200]
    queue = Queue(structures(*lengths), [0, 1, 2, 3, 4], tmp_path, False, workers=1)
    total = sum(length**2 for length in lengths)
    assert queue.progress == (0, total)
    assert LEAST_PAIRS < total / 8 < 600**2 + 300**2 * 2 + 200**2
    units = [queue.next() for _ in range(3)]
    assert [unit.chains for unit in units if unit] == [(1,), (2, 0, 3), (4,)]
    assert [queue.path(unit).name for unit in units if unit] == [f"part-{n:06d}.parquet" for n in range(3)]
    assert queue.next() is None
    for unit in units:
        assert unit is not None
        queue.done(unit, [])
    assert queue.progress == (total, total)


def test_a_lost_unit_is_tried_chain_by_chain(tmp_path) -> None:
    (tmp_path / "part-000007.parquet").touch()
    queue = Queue(structures(10, 20), [0, 1], tmp_path, False, workers=1)
    unit = queue.next()
    assert unit is not None and unit.chains == (1, 0) and unit.part == 8
    queue.lost(unit, Lost("its process died"))
    first, second = queue.next(), queue.next()
    assert first is not None and second is not None and (first.chains, second.chains) == ((1,), (0,))
    queue.path(first).touch()
    queue.lost(first, Lost("its process died"))  # after its work
    for preempted in (False, True, False, False):
        queue.lost(second, Lost("its process died", preempted))
        second = queue.next() or second
    assert queue.failures == [Failure("c0", "its process died", again=True)]
    assert queue.progress == (500, 500)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run, tmp: {"model": tmp}, "holds no score_net.json"),
        (lambda run, tmp: {"structures": (tmp / "none.pdb",)}, "none.pdb does not exist"),
        (lambda run, tmp: {"noise": 0.0}, "noise must be above 0 Å, got 0.0"),
        (lambda run, tmp: {"out": tmp}, "exists and has no manifest.json"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(run, tmp_path, change: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed(replace(run, **change(run, tmp_path)))
    assert not run.out.exists()


def test_a_folder_named_structures_is_no_dataset(tmp_path) -> None:
    (tmp_path / "structures").mkdir()
    file = tmp_path / "structures" / "p.pdb"
    file.write_text(pdb(random_chain(5)))
    assert module._files(tmp_path) == [file]
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no .parquet file in it"):
        module._files(tmp_path)


def test_settings_name_the_inputs(run) -> None:
    settings = module.settings_of(run)
    assert json.loads(json.dumps(settings))["structures"] == [str(run.structures[0])]
    (run.structures[0] / "p8.pdb").write_text(pdb(random_chain(9)))
    assert module.settings_of(run)["state of the structures"] != settings["state of the structures"]
