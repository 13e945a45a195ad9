"""The structures pipeline: archives, splits, exclusions, a kill in the middle, and what a second run does."""

import errno
import io
import logging
import os
import random
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bucket import KEYS, keys, serve
from structure_text import helix, mmcif, pdb, pdb_chain

from protray.cluster.batch.command import show
from protray.cluster.batch.driver import run_batch
from protray.cluster.batch.job import Done, Span
from protray.cluster.batch.measure import estimate
from protray.data import schemas
from protray.data.location import Location
from protray.data.structure.atoms import read_atoms
from protray.data.structure.rows import StructureSettings
from protray.data.structure.splits import ChainName, read_exclusion
from protray.data.structure.structures import FOLDER, read_structures
from protray.pipelines.structure import prepare_structures as module
from protray.pipelines.structure.prepare_structures import JOB, NAMES, PrepareStructures, choose, rows
from protray.seq.alphabet import AMINO_ACIDS, decode, encode
from protray.seq.errors import InputError
from protray.struct.residues.atom14 import HAS


def random_sequence(seed: int, length: int = 60) -> str:
    return "".join(random.Random(seed).choices(AMINO_ACIDS, k=length))


S = [random_sequence(seed) for seed in range(8)]
PLACES = list(range(1, 61))
FILES = {
    "1aaa.pdb": pdb(pdb_chain(S[0], "A"), pdb_chain(S[1], "B"), header=["REMARK   2 RESOLUTION.    2.50 ANGSTROMS."]),
    "2bbb.cif": mmcif([("A", "1", S[2], PLACES), ("B", "2", S[0], PLACES)], "2BBB"),
    "3ccc.pdb": pdb(pdb_chain(S[3]), pdb_chain("ACD", "B"), header=["REMARK   2 RESOLUTION.    1.50 ANGSTROMS."]),
    "sub/3ccc.pdb": pdb(pdb_chain(S[4])),
    "4ddd.pdb": pdb(pdb_chain(S[5], "A", helix(60) * 0.1)),
    "empty.pdb": "",
    "notes.md": "-",
}
CHAINS = ["1aaa_A", "1aaa_B", "2bbb_A", "2bbb_B", "3ccc_A"]


@pytest.fixture
def run(tmp_path) -> PrepareStructures:
    for name, text in FILES.items():
        path = tmp_path / "pdb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return run_of(tmp_path / "pdb", tmp_path / "out", max_rejected=0.5)


def run_of(structures: Path, out: Path, **settings: object) -> PrepareStructures:
    return PrepareStructures(structures=Location(structures), out=Location(out), **settings)  # type: ignore[arg-type]


def packed(folder: Path, archive: Path) -> Path:
    """The files of a folder, and one whose name leads out of it."""
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in [*FILES.items(), ("../5eee.pdb", FILES["1aaa.pdb"])]:
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return archive


def rows_of(out: Location) -> dict[str, dict]:
    return {row["id"]: row for row in pq.read_table(out / FOLDER).sort_by("id").to_pylist()}


def rejected(out: Location) -> dict[str | None, str]:
    return {
        row["id"] or Path(row["file"]).name: row["reason"]
        for row in pq.read_table(out / "rejected.parquet").to_pylist()
    }


@pytest.mark.ray
def test_every_file_is_a_row_or_a_reject_and_a_broken_run_ends_the_same(ray_local, run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # the workers have another working directory

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "choose", stop)
        with pytest.raises(KeyboardInterrupt):
            run_batch(JOB, run_of(Path("pdb"), Path("out"), max_rejected=0.5))
    first, *others = (run.work / "parts").files("item-*.parquet")
    first.remove()
    kept, seen = {part: part.stamp() for part in others}, {}

    def watched(*arguments: object) -> tuple:
        seen.update({part: part.stamp() for part in kept})
        return choose(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(module, "choose", watched)
        summary = run_batch(JOB, run)
    assert seen == kept and len(kept) > 2
    rows = rows_of(run.out)
    assert list(rows) == CHAINS
    assert rows["1aaa_A"]["cluster"] == rows["2bbb_B"]["cluster"] == "1aaa_A"  # one sequence
    assert rows["1aaa_A"]["split"] == rows["2bbb_B"]["split"]
    assert {row["cluster"] for row in rows.values()} == {"1aaa_A", "1aaa_B", "2bbb_A", "3ccc_A"}
    stored = pq.read_schema(run.out / FOLDER / "part-00000.parquet")
    assert stored.equals(schemas.STRUCTURES)
    assert stored.metadata == schemas.STRUCTURES.metadata
    reasons = rejected(run.out)
    assert reasons.keys() == {"3ccc_A", "3ccc_B", "4ddd_A", "empty.pdb", "notes.md"}
    assert reasons["3ccc_A"].startswith("id '3ccc_A' is also that of a chain of")
    assert "the median is 0.38 Å" in reasons["4ddd_A"]
    assert (summary["n_files"], summary["n_chains"], summary["n_residues"], summary["n_rejected"]) == (6, 5, 300, 5)
    assert summary["decisions"] == {"repeated_ids": 1}
    assert not run.work.exists()
    chain = read_structures(run.out).chain(0)
    assert (chain.id, decode(chain.codes_L)) == ("1aaa_A", S[0])

    shutil.copytree(run.structures, tmp_path / "copied")
    again = run_batch(JOB, replace(run, structures=Location("copied")))
    assert again["cached"] and again["digest"] == summary["digest"]
    with pytest.raises(ValueError, match="min_residues was 20, is 30"):
        run_batch(JOB, replace(run, chains=StructureSettings(min_residues=30)))

    archive = packed(tmp_path / "pdb", tmp_path / "all.tar.gz")
    from_tar = run_batch(JOB, run_of(archive, tmp_path / "from_tar", max_rejected=0.6))
    assert (from_tar["n_chains"], from_tar["n_rejected"]) == (5, 6)
    there, here = rows_of(Location("from_tar")), rows_of(run.out)
    assert there["2bbb_B"]["source"] == f"{archive}/2bbb.cif"
    for id, row in there.items():
        assert row | {"source": ""} == here[id] | {"source": ""}


@pytest.mark.ray
def test_what_settings_leave_out_does_not_count_as_unusable(no_ray, tmp_path, capsys) -> None:
    """Of four files three have chains that a setting leaves out; the fourth has no chain at all."""
    folder = tmp_path / "pdb"
    folder.mkdir()
    for n in range(3):
        (folder / f"{n}aaa.pdb").write_text(pdb(pdb_chain(S[n][:15] if n else S[n])))
    (folder / "empty.pdb").write_text("")
    with pytest.raises(
        ValueError, match=r"1 of 4 files in the input cannot be used, more than --max-rejected 0.1(.|\n)*"
    ) as told:
        run_batch(JOB, run_of(folder, tmp_path / "strict"))
    assert str(told.value).count("\n  ") == 1  # of the chains that a setting leaves out it says nothing
    with_sides = StructureSettings(side_chains=True, complexes=True)
    run = run_of(folder, tmp_path / "out", max_rejected=0.25, chains=with_sides)
    summary = run_batch(JOB, run)
    assert (summary["n_chains"], summary["n_done"], summary["n_rejected"], summary["n_left_out"]) == (1, 3, 3, 2)
    show(JOB, run, summary)
    assert "files      3 done, 1 rejected, 2 left out\n" in capsys.readouterr().out
    (row,) = rows_of(Location(tmp_path / "out")).values()
    assert (row["id"], len(row["sidechains_cA"]), row["chain_index"], row["plddt"]) == ("0aaa", 60 * 30, None, None)
    sides = sum(HAS[encode(S[0])].sum(axis=1) - 4)
    assert summary["decisions"] == {"missing_side_chain_atoms": sides}  # these files have backbones alone
    assert summary["settings"]["side_chains"] and summary["settings"]["complexes"]
    assert read_atoms(tmp_path / "out").chain(0).present_LA.sum() == 60 * 4


def test_new_settings_do_not_change_what_older_datasets_were_made_with(run) -> None:
    before = module.identity(run)
    assert not before.keys() & {"side_chains", "atom_names", "complexes", "plddt"} and before["min_residues"] == 20
    after = module.identity(replace(run, chains=StructureSettings(side_chains=True, plddt="all")))
    assert after == before | {"side_chains": True, "plddt": "all"}


@pytest.mark.ray
def test_nothing_usable_is_an_error_with_the_reasons(no_ray, tmp_path) -> None:
    (tmp_path / "a.pdb").write_text(pdb(pdb_chain("ACD")))
    with pytest.raises(
        ValueError, match=r"0 of 1 files in the input cannot be used, and nothing is left(.|\n)*1 x chain"
    ):
        run_batch(JOB, run_of(tmp_path / "a.pdb", tmp_path / "out"))
    assert not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.ray
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_its_plan_counts_files_and_writes_nothing(ray_local, run, tmp_path, monkeypatch, form) -> None:
    monkeypatch.setattr("protray.cluster.health.estimate.TRIAL_S", 0.1)
    monkeypatch.setattr("protray.cluster.health.estimate.LIMIT_S", 600.0)  # of a busy machine
    where = run.structures if form == "folder" else packed(run.structures.path, tmp_path / "all.tar.gz")
    before = sorted(tmp_path.rglob("*"))
    (line,) = estimate(JOB, replace(run, structures=Location(where), plan=True)).lines
    assert sorted(tmp_path.rglob("*")) == before
    assert line.rows == (6 if form == "folder" else 7) and line.done == 0 and line.seconds


@pytest.mark.ray
def test_an_archive_is_unpacked_into_a_bucket(tmp_path) -> None:
    """The job as a command, whose processes share a bucket alone."""
    archive = packed(tmp_path, tmp_path / "all.tar.gz")
    job = Path(__file__).parents[3] / "jobs" / "prepare_structures.py"
    with serve() as address:
        environment = os.environ | KEYS | {"AWS_ENDPOINT_URL": address, "AWS_REGION": "us-east-1"}
        words = ["--structures", str(archive), "--out", "s3://bucket/made", "--max-rejected", "0.6", "--actors", "1"]
        done = subprocess.run([sys.executable, job, *words], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        with pytest.MonkeyPatch.context() as patch:
            for name in (*KEYS, "AWS_ENDPOINT_URL", "AWS_REGION"):
                patch.setenv(name, environment[name])
            assert keys(Path("s3:/bucket/made")) == {
                "dataset.json", "rejected.parquet", "structures/part-00000.parquet",
            }  # fmt: skip
            assert read_structures("s3://bucket/made").ids == CHAINS


# ---- without Ray


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\tcluster\tsplit\na\tx\ttrain\nb\tx\ttest\n", "t.tsv:3: cluster 'x' is in test here and in train before"),
        ("a\tx\nb\n", "t.tsv:2: expected two tab-separated columns, found 'b'"),
    ],
)
def test_a_cluster_table_that_cannot_be_used_is_told_before_files_are_read(run, tmp_path, text, message) -> None:
    table = Location(tmp_path / "t.tsv")
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        run_batch(JOB, replace(run, split_by=table))
    assert not run.out.exists()


def parsed(run: PrepareStructures) -> Done:
    spans = [Span(n, row) for n, row in enumerate(row for row in rows(run) if not isinstance(row, InputError))]
    return JOB.work(run, spans)


def settle(run: PrepareStructures, clusters: dict[str, str] | None = None) -> tuple[dict[str, str], dict[str, str]]:
    """Returns id -> cluster of the chains that stay, id -> reason of the others."""
    chains = [ChainName(**row) for row in parsed(run).rows.select(NAMES).to_pylist()]
    exclusions = [read_exclusion(path.path) for path in run.exclude]
    stay, left_out, decisions = choose(run, chains, clusters, exclusions)
    assert stay.keys() | left_out.keys() == set(range(len(chains)))
    assert sum(decisions.values()) == len(left_out)
    return (
        {chains[n].id: cluster for n, cluster in stay.items()},
        {f"{chains[n].id} {Path(chains[n].source).parent.name}": why for n, why in left_out.items()},
    )


def test_chains_of_a_file_are_counted_through(run) -> None:
    table = parsed(run).rows.select(["number", "start", "id"])
    assert [tuple(row.values()) for row in table.to_pylist()][:4] == [
        (0, 0, "1aaa_A"), (0, 1, "1aaa_B"), (1, 0, "2bbb_A"), (1, 1, "2bbb_B"),
    ]  # fmt: skip


def test_exclusion_by_id_and_by_identity(run, tmp_path, caplog) -> None:
    ids, fasta = tmp_path / "test.txt", tmp_path / "test.fasta"
    ids.write_text("2BBB_A 9ZZZ\n")
    mutated = "".join(letter if k % 2 else "A" for k, letter in enumerate(S[0]))  # half equal and more
    fasta.write_text(f">other\n{mutated.lower()}\n")
    with caplog.at_level(logging.WARNING):
        stay, out = settle(replace(run, exclude=(Location(ids), Location(fasta))))
    assert set(stay) == {"1aaa_B", "3ccc_A"}
    assert out["2bbb_A pdb"] == f"excluded: '2BBB_A' is in {ids}"
    assert out["1aaa_A pdb"] == out["2bbb_B pdb"] == f"excluded: a relative of 'other' in {fasta}"
    assert f"1 of 2 ids of {ids} are of no chain here, such as 9ZZZ" in caplog.text
    assert set(settle(replace(run, exclude=(Location(fasta),), exclude_identity=0.9))[0]) == set(CHAINS)


def test_a_bad_exclusion_file_stops_the_job(tmp_path) -> None:
    path = tmp_path / "test.fasta"
    for text, reason in ((">a\nAC-D\n", "'-' at position 3"), (">a\nAC\n>a\nAD\n", "is also that of the record")):
        path.write_text(text)
        with pytest.raises(ValueError, match=reason):
            read_exclusion(path)


def test_one_chain_of_each_sequence_or_cluster(run) -> None:
    stay, out = settle(replace(run, keep="sequence"))
    assert set(stay) == {"1aaa_A", "1aaa_B", "2bbb_A", "3ccc_A"}
    assert out["2bbb_B pdb"] == "has the sequence of '1aaa_A', which is kept"  # 2.5 Å, the other has no resolution
    table = {"1aaa_A": "x", "1aaa_B": "x", "2bbb_A": "y", "2bbb_B": "x", "3ccc_A": "x"}
    stay, out = settle(replace(run, keep="cluster", split_by=Location("t")), table)
    assert stay == {"2bbb_A": "y", "3ccc_A": "x"}  # 1.5 Å
    assert out["1aaa_A pdb"] == "is in the cluster of '3ccc_A', which is kept"


def test_entities_of_an_rcsb_file(run) -> None:
    table = {"2BBB_1": "1XYZ_1", "2BBB_2": "2BBB_2", "1AAA_1": "1XYZ_1"}
    stay, out = settle(replace(run, split_by=Location("clusters.txt")), table)
    assert stay == {"2bbb_A": "1XYZ_1", "2bbb_B": "2BBB_2"}
    assert "clusters.txt goes by entity, and the file has none" in out["1aaa_A pdb"]


def test_an_error_of_the_disk_is_no_reject(run, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module, "content_of", broken)
    with pytest.raises(OSError, match="Input/output error"):
        parsed(run)
