"""jobs/embed.py on an untrained network: files good and bad, datasets, restarts, chains that fail, refusals."""

import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_here import plan_here, use_no_ray
from score_nets import CONFIG, random_chain, save_random_net

from protray.cluster.batch import driver, items
from protray.cluster.batch.driver import run_batch
from protray.cluster.batch.measure import estimate
from protray.data import embeddings as tables
from protray.data import schemas
from protray.data.embeddings import read_embeddings
from protray.data.location import Location
from protray.data.sample import SAMPLE
from protray.data.structure.structures import StructureChain, chains_in, read_group
from protray.inference.embeddings.score_net import Embedder
from protray.pipelines.structure import embed as module
from protray.pipelines.structure.embed import JOB, Embed
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
def run(tmp_path, model) -> Embed:
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
    return Embed(
        model=Location(model), structures=(Location(folder),), out=Location(tmp_path / "out"), level="residue",
        max_rejected=0.5,
    )  # fmt: skip


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Names of the items that are worked on, in this process."""
    found: list[str] = []
    use_no_ray(monkeypatch, found.append)
    return found


@pytest.fixture
def dataset(tmp_path) -> Location:
    """Ten chains of the sample in two row groups, as jobs/prepare_structures.py leaves them."""
    rows = read_group(Location(SAMPLE), 0).slice(0, 10).to_pylist()
    empty = {"origin": [0.0] * 3, "breaks": [], "source": "s", "entry": "e", "cluster": "", "split": "train"}
    table = schemas_table([row | empty for row in rows])
    (tmp_path / "data" / "structures").mkdir(parents=True)
    pq.write_table(table, tmp_path / "data" / "structures" / "part-00000.parquet", row_group_size=6)
    (tmp_path / "data" / "dataset.json").write_text('{"digest": "d"}')
    return Location(tmp_path / "data")


def schemas_table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schemas.STRUCTURES)


REASONS = {
    "point.pdb": "are 0.00 Å apart",
    "one.pdb": "1 residue with C-alpha atoms; 2 are needed",
    "notes.txt": "is no structure format",
}


def found_in(run: Embed) -> dict[str, np.ndarray]:
    return {id: values for id, _, values in read_embeddings(run.out)}


@pytest.mark.ray
def test_files_good_and_bad(ray_local, run, tmp_path, monkeypatch) -> None:
    summary = run_batch(JOB, run)
    assert (summary["n_rows"], summary["n_rejected"], summary["cached"]) == (6, 4, False)
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
    assert sorted(path.name for path in run.out.path.iterdir()) == ["embeddings", "rejected.parquet", "summary.json"]

    times = {path: path.stamp() for path in run.out.files("*.parquet")}
    monkeypatch.chdir(tmp_path)
    again = run_batch(JOB, replace(run, structures=(Location("pdb"),), out=Location("out")))
    assert again["cached"] and again["reasons"] == summary["reasons"]
    assert {path: path.stamp() for path in times} == times
    with pytest.raises(ValueError, match="was made differently: level was 'residue', is 'pair'. Choose another"):
        run_batch(JOB, replace(run, level="pair"))


@pytest.mark.parametrize("chunk", [1, 40_000, 1 << 25])
def test_pairs_of_a_dataset_in_rows_of_any_size(asked, model, dataset, tmp_path, monkeypatch, chunk) -> None:
    """A run that was stopped goes on; the result is that of each chain alone, in the order of the dataset."""
    monkeypatch.setattr(items, "MOST_ROWS", 4)
    monkeypatch.setattr(tables, "CHUNK_BYTES", chunk)
    monkeypatch.setattr("protray.inference.embeddings.many.CHUNK_BYTES", chunk)
    run = Embed(model=Location(model), structures=(dataset,), out=Location(tmp_path / "out"), level="pair")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(driver, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            run_batch(JOB, run)
    parts = (run.work / "parts").files()
    assert len(parts) == len(asked) >= 3
    parts[1].remove()
    asked.clear()
    assert run_batch(JOB, run)["n_rows"] >= 10
    assert [f"item-{name}.parquet" for name in asked] == [parts[1].name]

    chains = chains_in(read_group(Location(SAMPLE), 0).slice(0, 10))
    found, embedder = found_in(run), Embedder.open(model)
    assert list(found) == [chain.id for chain in chains]
    for chain in chains:
        expected_LLC = np.concatenate(list(embedder.pair(chain)))
        np.testing.assert_allclose(found[chain.id], expected_LLC, rtol=2e-3, atol=1e-4)
    table = pq.read_table(run.out / "embeddings" / "part-00000.parquet")
    assert table.schema.equals(schemas.PAIR_EMBEDDINGS)
    most = max(1, chunk // (2 * len(chains[0].codes_L) * CONFIG.channels))
    first = table.filter(pa.array([id == chains[0].id for id in table["id"].to_pylist()]))
    assert first["start"].to_pylist() == list(range(0, len(chains[0].codes_L), most))


@pytest.mark.parametrize("level", ["protein", "residue"])
def test_levels_of_the_bundled_sample(asked, model, tmp_path, monkeypatch, level) -> None:
    ten = list(module.inputs.table_rows(Location(SAMPLE)))[:10]
    monkeypatch.setattr(module.inputs, "table_rows", lambda table: iter(ten))
    run = Embed(model=Location(model), out=Location(tmp_path / "out"), level=level)
    assert run_batch(JOB, run)["n_rows"] == 10
    embedder, found = Embedder.open(model), found_in(run)
    for chain in chains_in(read_group(Location(SAMPLE), 0).slice(0, 10)):
        np.testing.assert_allclose(found[chain.id], getattr(embedder, level)(chain), rtol=1e-6)


def test_pairs_of_files_with_several_chains(asked, run, monkeypatch) -> None:
    """Two chains of one file; `start` counts from 0 in each of them."""
    monkeypatch.setattr(tables, "CHUNK_BYTES", 500)  # 4 rows of 7 pairs of 8 numbers, or 3 rows of 9
    two = pdb(random_chain(7, seed=1), "A").replace("END\n", "") + pdb(random_chain(9, seed=2), "B")
    file = Path(run.structures[0]) / "two.pdb"
    file.write_text(two)
    run = replace(run, structures=(Location(file),), level="pair")
    run_batch(JOB, run)
    table = pq.read_table(run.out / "embeddings" / "part-00000.parquet")
    assert list(zip(table["id"].to_pylist(), table["start"].to_pylist(), strict=True)) == [
        ("two_A", 0), ("two_A", 4), ("two_B", 0), ("two_B", 3), ("two_B", 6),
    ]  # fmt: skip
    shapes = {id: values.shape for id, values in found_in(run).items()}
    assert shapes == {"two_A": (7, 7, CONFIG.channels), "two_B": (9, 9, CONFIG.channels)}


def test_half_a_chain_is_left_out(asked, run, monkeypatch) -> None:
    monkeypatch.setattr(tables, "CHUNK_BYTES", 1)
    pair = Embedder.pair

    def broken(self: Embedder, chain: StructureChain) -> object:
        for strip_ILC in pair(self, chain):
            if chain.id == "p40_A":
                yield strip_ILC[:10]
                raise ValueError("not finite")
            yield strip_ILC

    monkeypatch.setattr(Embedder, "pair", broken)
    run_batch(JOB, replace(run, level="pair"))
    assert set(found_in(run)) == {f"p{length}_A" for length in (5, 8, 41, 60, 90)}
    reasons = {row["id"]: row["reason"] for row in pq.read_table(run.rejected).to_pylist()}
    assert reasons["p40_A"] == "not finite"


def test_a_chain_that_runs_out_of_memory_is_tried_again_by_the_next_run(asked, run, monkeypatch) -> None:
    residue = Embedder.residue

    def large(self: Embedder, chain: StructureChain) -> np.ndarray:
        if chain.id == "p41_A":
            raise MemoryError("no more")
        return residue(self, chain)

    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "residue", large)
        summary = run_batch(JOB, run)
    assert (summary["n_rows"], summary["n_rejected"], summary["n_again"]) == (5, 5, 1)
    (row,) = [row for row in pq.read_table(run.rejected).to_pylist() if "MemoryError: no more" in row["reason"]]
    assert row["file"].endswith("p41.pdb")
    summary = run_batch(JOB, run)
    assert (summary["n_rows"], summary["n_again"]) == (6, 0)
    assert run_batch(JOB, run)["cached"]


@pytest.mark.parametrize("kind", ["", "gz"])
def test_archives(asked, run, tmp_path, monkeypatch, kind: Literal["", "gz"]) -> None:
    """A packed one is unpacked into the folder of unfinished work; a plan leaves no trace of it."""
    (Path(run.structures[0]) / "again" / "p5.pdb").unlink()
    archive = tmp_path / ("all.tar.gz" if kind else "all.tar")
    with tarfile.open(archive, "w:gz" if kind else "w:") as tar:
        for path in sorted(Path(run.structures[0]).glob("p[0-9]*.pdb")):
            member = tarfile.TarInfo(path.name)
            member.size = path.stat().st_size
            tar.addfile(member, io.BytesIO(path.read_bytes()))
    packed = replace(run, structures=(Location(archive),))
    before = sorted(tmp_path.rglob("*"))
    with monkeypatch.context() as patch:
        plan_here(patch)
        (line,) = estimate(JOB, replace(packed, plan=True)).lines
    assert (line.name, line.rows, line.about) == ("embed", 6, True) and line.seconds
    assert sorted(tmp_path.rglob("*")) == before
    assert run_batch(JOB, packed)["n_rows"] == 6
    found = found_in(packed)
    run_batch(JOB, replace(run, out=Location(tmp_path / "other")))
    other = {id: values for id, _, values in read_embeddings(tmp_path / "other")}
    assert set(found) == set(other)
    for id, values in found.items():
        np.testing.assert_array_equal(values, other[id])


@pytest.mark.parametrize("names", [["notes.txt"], ["notes.txt", "one.pdb", "point.pdb"]])
def test_files_without_a_usable_chain_are_named(asked, run, names) -> None:
    listing = Path(run.structures[0]).parent / "list.txt"
    listing.write_text("\n".join(str(run.structures[0] / name) for name in names))
    count = len(names)
    with pytest.raises(
        ValueError, match=rf"{count} of {count} chains in the input cannot be used, and nothing is left; see .*rejected"
    ):
        run_batch(JOB, replace(run, structures=(Location(listing),)))
    reasons = pq.read_table(run.rejected)["reason"].to_pylist()
    assert len(reasons) == count
    assert all(any(REASONS[name] in reason for reason in reasons) for name in names)


def test_cost_is_that_of_pairs(run) -> None:
    chain = module.inputs.EMPTY | {"file": "part.parquet", "length": 100}
    assert JOB.cost(run, chain) == pytest.approx(1e4 * module.PER_PAIR_S)
    file = module.inputs.EMPTY | {"file": "a.pdb", "size": 65_000}
    assert JOB.cost(run, file) == pytest.approx(1e4 * module.PER_PAIR_S)
    assert JOB.cost(run, file | {"file": "a.pdb.gz"}) == pytest.approx(16e4 * module.PER_PAIR_S)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run, tmp: {"model": Location(tmp)}, "holds no score_net.json"),
        (lambda run, tmp: {"structures": (Location(tmp / "none.pdb"),)}, "none.pdb does not exist"),
        (lambda run, tmp: {"noise": 0.0}, "noise must be above 0 Å, got 0.0"),
        (lambda run, tmp: {"out": Location(tmp)}, "exists, and no such job has made it"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(run, tmp_path, change: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_batch(JOB, replace(run, **change(run, tmp_path)))
    with pytest.raises(ValueError, match=message):
        estimate(JOB, replace(run, **change(run, tmp_path)))
    assert not run.out.exists()


def test_a_folder_named_structures_is_no_dataset(run, tmp_path) -> None:
    (tmp_path / "d" / "structures").mkdir(parents=True)
    (tmp_path / "d" / "structures" / "p.pdb").write_text(pdb(random_chain(5)))
    run = replace(run, structures=(Location(tmp_path / "d"),))
    assert [row["path"] for row in module.rows(run) if isinstance(row, dict)] == [
        str(tmp_path / "d" / "structures" / "p.pdb")
    ]
    (tmp_path / "d" / "dataset.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no .parquet file in it"):
        module.identity(run)
    with pytest.raises(ValueError, match="takes one dataset, or files; got 2 paths with a dataset"):
        module.identity(replace(run, structures=(Location(tmp_path / "d"), Location(tmp_path / "pdb"))))


def test_copied_inputs_are_the_same_and_changed_ones_are_not(run, tmp_path) -> None:
    before = module.identity(run)
    moved = Path(run.structures[0]).rename(tmp_path / "moved")
    run = replace(run, structures=(Location(moved),))
    assert module.identity(run) == before
    (moved / "p8.pdb").write_text(pdb(random_chain(9)))
    assert module.identity(run)["structures"] != before["structures"]


def test_what_we_write_among_the_structures_is_not_read(run) -> None:
    inside = replace(run, out=run.structures[0] / "out")
    before, found = module.identity(inside), list(map(str, module.rows(inside)))
    (inside.out / "a.pdb").write_text(pdb(random_chain(5)))
    (inside.out / "summary").write_text("{}")
    assert module.identity(inside) == before
    assert list(map(str, module.rows(inside))) == found
