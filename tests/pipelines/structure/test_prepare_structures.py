"""The structures pipeline: archives, splits, exclusions, a kill in the middle, and what a second run does."""

import io
import json
import logging
import random
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from structure_text import helix, mmcif, pdb, pdb_chain

from protray.cluster.batch import parts
from protray.cluster.batch.tasks import run_tasks
from protray.data import schemas
from protray.data.structure_rows import StructureSettings
from protray.data.structures import FOLDER, read_structures
from protray.pipelines.structure import prepare_structures as module
from protray.pipelines.structure.prepare_structures import StructuresConfig, prepare_structures
from protray.seq.alphabet import AMINO_ACIDS, decode


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
def config(tmp_path) -> StructuresConfig:
    for name, text in FILES.items():
        path = tmp_path / "pdb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return StructuresConfig(structures=tmp_path / "pdb", out=tmp_path / "out")


def rows_of(out: Path) -> dict[str, dict]:
    return {row["id"]: row for row in pq.read_table(out / FOLDER).sort_by("id").to_pylist()}


def rejected(out: Path) -> dict[str | None, str]:
    return {
        row["id"] or Path(row["file"]).name: row["reason"]
        for row in pq.read_table(out / "rejected.parquet").to_pylist()
    }


@pytest.mark.ray
def test_every_file_is_a_row_or_a_reject_and_a_broken_run_ends_the_same(
    ray_local, config, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(module, "PART_FILES", 2)
    monkeypatch.chdir(tmp_path)  # the workers have another working directory

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_settle", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare_structures(replace(config, structures=Path("pdb"), out=Path("out")))
    (config.out / "parsed" / "part-00001.parquet").unlink()
    remade = []

    def watched(task: Callable, pieces: list, **shared: object) -> Iterator:
        remade.extend(piece["part"] for piece in pieces if task is module.parse_part)
        return run_tasks(task, pieces, **shared)

    with monkeypatch.context() as patch:
        patch.setattr(parts, "run_tasks", watched)
        summary = prepare_structures(config)
    assert remade == [1]
    rows = rows_of(config.out)
    assert list(rows) == CHAINS
    assert rows["1aaa_A"]["cluster"] == rows["2bbb_B"]["cluster"] == "1aaa_A"  # one sequence
    assert rows["1aaa_A"]["split"] == rows["2bbb_B"]["split"]
    assert {row["cluster"] for row in rows.values()} == {"1aaa_A", "1aaa_B", "2bbb_A", "3ccc_A"}
    stored = pq.read_schema(config.out / FOLDER / "part-00000.parquet")
    assert stored.equals(schemas.STRUCTURES)
    assert stored.metadata == schemas.STRUCTURES.metadata
    reasons = rejected(config.out)
    assert reasons.keys() == {"3ccc_A", "3ccc_B", "4ddd_A", "empty.pdb", "notes.md"}
    assert reasons["3ccc_A"].startswith("id '3ccc_A' is also that of a chain of")
    assert "the median is 0.38 Å" in reasons["4ddd_A"]
    assert (summary["n_files"], summary["n_chains"], summary["n_residues"], summary["n_rejected"]) == (6, 5, 300, 5)
    assert summary["decisions"] == {"repeated_ids": 1}
    assert not (config.out / "parsed").exists()
    chain = read_structures(config.out).chain(0)
    assert (chain.id, decode(chain.codes_L)) == ("1aaa_A", S[0])

    before = {path: path.stat().st_mtime_ns for path in config.out.rglob("*.parquet")}
    assert prepare_structures(config)["cached"]
    assert before == {path: path.stat().st_mtime_ns for path in config.out.rglob("*.parquet")}
    with pytest.raises(ValueError, match="min_residues was 20, is 30"):
        prepare_structures(StructuresConfig(**vars(config) | {"chains": StructureSettings(min_residues=30)}))

    archive = tmp_path / "all.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in [*FILES.items(), ("../5eee.pdb", FILES["1aaa.pdb"])]:
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    from_tar = prepare_structures(StructuresConfig(structures=archive, out=tmp_path / "from_tar"))
    assert (from_tar["n_chains"], from_tar["n_rejected"]) == (5, 6)
    there, here = rows_of(tmp_path / "from_tar"), rows_of(config.out)
    assert there["2bbb_B"]["source"] == f"{archive}/2bbb.cif"
    for id, row in there.items():
        assert row | {"source": ""} == here[id] | {"source": ""}


def settle(config: StructuresConfig, clusters: dict[str, str] | None = None) -> tuple[dict[str, str], dict[str, str]]:
    """Parse in this process, without Ray; returns id -> cluster of the chains that stay, id -> reason of the others."""
    config.out.mkdir(exist_ok=True)
    sources, _ = module.find_sources(config.structures, config.out)
    module.parse_part({"part": 0, "items": [vars(source) for source in sources]}, config.out, config.chains)
    chains, lengths = module._read_names(config.out, 1)
    assert sum(lengths) == len(chains)
    exclusions = [module.read_exclusions(path) for path in config.exclude]
    found = module._settle(chains, clusters, exclusions, config)
    assert found.splits.keys() | found.left_out.keys() == set(range(len(chains)))
    assert sum(found.counts.values()) == len(found.left_out)
    return (
        {chains[n].id: found.clusters[n] for n in found.splits},
        {f"{chains[n].id} {Path(chains[n].source).parent.name}": why for n, why in found.left_out.items()},
    )


def test_exclusion_by_id_and_by_identity(config, tmp_path, caplog) -> None:
    ids, fasta = tmp_path / "test.txt", tmp_path / "test.fasta"
    ids.write_text("2BBB_A 9ZZZ\n")
    mutated = "".join(letter if k % 2 else "A" for k, letter in enumerate(S[0]))  # half equal and more
    fasta.write_text(f">other\n{mutated.lower()}\n")
    with caplog.at_level(logging.WARNING):
        stay, out = settle(StructuresConfig(**vars(config) | {"exclude": (ids, fasta)}))
    assert set(stay) == {"1aaa_B", "3ccc_A"}
    assert out["2bbb_A pdb"] == f"excluded: '2BBB_A' is in {ids}"
    assert out["1aaa_A pdb"] == out["2bbb_B pdb"] == f"excluded: a relative of 'other' in {fasta}"
    assert f"1 of 2 ids of {ids} are of no chain here, such as 9ZZZ" in caplog.text
    assert set(settle(StructuresConfig(**vars(config) | {"exclude": (fasta,), "exclude_identity": 0.9}))[0]) == set(
        CHAINS
    )


def test_a_bad_exclusion_file_stops_the_job(tmp_path) -> None:
    path = tmp_path / "test.fasta"
    for text, reason in ((">a\nAC-D\n", "'-' at position 3"), (">a\nAC\n>a\nAD\n", "is also that of the record")):
        path.write_text(text)
        with pytest.raises(ValueError, match=reason):
            module.read_exclusions(path)


def test_one_chain_of_each_sequence_or_cluster(config) -> None:
    stay, out = settle(StructuresConfig(**vars(config) | {"keep": "sequence"}))
    assert set(stay) == {"1aaa_A", "1aaa_B", "2bbb_A", "3ccc_A"}
    assert out["2bbb_B pdb"] == "has the sequence of '1aaa_A', which is kept"  # 2.5 Å, the other has no resolution
    table = {"1aaa_A": "x", "1aaa_B": "x", "2bbb_A": "y", "2bbb_B": "x", "3ccc_A": "x"}
    stay, out = settle(StructuresConfig(**vars(config) | {"keep": "cluster", "split_by": Path("t")}), table)
    assert stay == {"2bbb_A": "y", "3ccc_A": "x"}  # 1.5 Å
    assert out["1aaa_A pdb"] == "is in the cluster of '3ccc_A', which is kept"


def test_entities_of_an_rcsb_file(config) -> None:
    table = {"2BBB_1": "1XYZ_1", "2BBB_2": "2BBB_2", "1AAA_1": "1XYZ_1"}
    stay, out = settle(StructuresConfig(**vars(config) | {"split_by": Path("clusters.txt")}), table)
    assert stay == {"2bbb_A": "1XYZ_1", "2bbb_B": "2BBB_2"}
    assert "clusters.txt goes by entity, and the file has none" in out["1aaa_A pdb"]


def test_an_unexpected_fault_rejects_only_its_file(config, monkeypatch, caplog) -> None:
    def fault(raw: bytes, name: str, settings: StructureSettings) -> tuple:
        raise ZeroDivisionError("division by zero") if name == "a.pdb" else OSError(5, "Input/output error")

    monkeypatch.setattr(module, "read_source", lambda source: b"")
    monkeypatch.setattr(module, "structure_rows", fault)
    items = [{"name": name, "path": name, "offset": None, "size": None} for name in ("a.pdb", "b.pdb")]
    config.out.mkdir()
    with caplog.at_level(logging.ERROR):
        module.parse_part({"part": 0, "items": items}, config.out, StructureSettings())
    first, second = pq.read_table(config.out / "rejected-00000.parquet").to_pylist()
    assert first["reason"] == "unexpected ZeroDivisionError: division by zero"
    assert second["reason"] == "cannot be read: Input/output error"
    assert pq.read_table(config.out / "part-00000.parquet").num_rows == 0


@pytest.mark.ray
def test_nothing_usable_is_an_error_with_the_reasons(ray_local, tmp_path) -> None:
    (tmp_path / "a.pdb").write_text(pdb(pdb_chain("ACD")))
    with pytest.raises(ValueError, match=r"no usable chain in .*, 1 files or chains are left out(.|\n)*1 x chain"):
        prepare_structures(StructuresConfig(structures=tmp_path / "a.pdb", out=tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "settings.json").read_text())["input_files"] == 1
    assert not (tmp_path / "out" / "dataset.json").exists()
