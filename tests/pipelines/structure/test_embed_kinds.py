"""jobs/embed.py by a joint encoder (SSDM) and by a language model: files good and bad, datasets, FASTA."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from batch_here import use_no_ray
from joint_encoders import save_random_joint
from ssdm_here import atom_chain
from structure_text import THREE, atom, helix, pdb, pdb_chain
from tiny_model import LM_CHANNELS, save_tiny_lm

from protray.cluster.batch.driver import run_batch
from protray.data.embeddings import read_embeddings
from protray.data.location import Location
from protray.data.sample import FULL_ATOM, SAMPLE
from protray.data.structure.atoms import AtomChain, read_atoms
from protray.inference.embeddings.residues import LanguageModel
from protray.inference.embeddings.structure_encoder import StructureEncoder
from protray.pipelines.structure import embed as module
from protray.pipelines.structure.embed import JOB, Embed
from protray.seq.alphabet import decode
from protray.struct.residues.atom14 import ATOMS
from protray.training.structure.ssdm_export import LANGUAGE_MODEL


@pytest.fixture(autouse=True)
def here(monkeypatch) -> None:
    """Items are worked off in this process."""
    use_no_ray(monkeypatch)


def full_chain() -> AtomChain:
    """All atoms of a chain, without the residues of which two atoms might change names on reading."""
    chains = (atom_chain(12, seed) for seed in itertools.count())
    return next(chain for chain in chains if not set("DEFYR") & set(decode(chain.codes_L)))


def full_pdb(chain: AtomChain) -> str:
    lines = [
        atom(9, ATOMS[letter][slot], THREE[letter], "A", f"{n} ", atoms_A3[slot])
        for n, (letter, atoms_A3) in enumerate(zip(decode(chain.codes_L), chain.atoms_LA3, strict=True), start=1)
        for slot in range(len(ATOMS[letter]))
    ]
    return pdb([*lines, "TER"])


SEQUENCE = "MKHLDECSYEVK"


@pytest.fixture
def files(tmp_path) -> Path:
    """Chains of all kinds, and two files of none."""
    folder = tmp_path / "pdb"
    folder.mkdir()
    (folder / "full.pdb").write_text(full_pdb(full_chain()))
    (folder / "backbone.pdb").write_text(pdb(pdb_chain(SEQUENCE)))
    ca = [line for line in pdb_chain(SEQUENCE) if " CA " in line or line == "TER"]
    (folder / "ca.pdb").write_text(pdb(ca))
    (folder / "one.pdb").write_text(pdb(pdb_chain("W")))
    line_L43 = helix(12)
    line_L43[:, 0], line_L43[:, 2] = line_L43[:, 1] - [1.5, 0, 0], line_L43[:, 1] + [1.5, 0, 0]
    (folder / "collinear.pdb").write_text(pdb(pdb_chain(SEQUENCE, "A", line_L43.astype(np.float32))))
    (folder / "notes.txt").write_text("none\n")
    (folder / "empty.pdb").write_text("END\n")
    return folder


GOOD = {"full_A": 12, "backbone_A": 12, "ca_A": 12, "one_A": 1, "collinear_A": 12}


def embedded(run: Embed) -> dict[str, tuple[str, np.ndarray]]:
    run_batch(JOB, run)
    return {id: (sequence, values) for id, sequence, values in read_embeddings(run.out)}


@pytest.mark.parametrize("fusion", [False, True])
def test_files_of_all_kinds_by_a_joint_encoder(files, tmp_path, fusion) -> None:
    """One residue, C-alpha atoms alone and backbones on a line are finite; what holds no chain is named."""
    lm = save_tiny_lm(tmp_path / "lm") if fusion else None
    model = save_random_joint(tmp_path / "model", lm)
    run = Embed(model=model, structures=(Location(files),), out=Location(tmp_path / "out"), level="residue",
                max_rejected=0.5)  # fmt: skip
    found = embedded(run)
    width = 8 + (LM_CHANNELS if fusion else 0)
    assert {id: values.shape for id, (_, values) in found.items()} == {id: (n, width) for id, n in GOOD.items()}
    assert all(np.isfinite(values).all() for _, values in found.values())
    assert not np.allclose(found["backbone_A"][1], found["ca_A"][1], atol=1e-3)
    one = StructureEncoder.open(model).residue(full_chain())
    np.testing.assert_allclose(found["full_A"][1], one, atol=2e-2)  # coordinates of a file have three decimals
    reasons = {Path(row["file"]).name: row["reason"] for row in pq.read_table(run.rejected).to_pylist()}
    assert set(reasons) == {"notes.txt", "empty.pdb"} and all(reasons.values())


def test_an_encoder_that_saw_no_side_chains_is_shown_none(files, tmp_path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    text = (files / "full.pdb").read_text().splitlines()
    kept = [line for line in text if line[:4] != "ATOM" or line[12:16].strip() in ("N", "CA", "C", "O")]
    (bare / "full.pdb").write_text("\n".join(kept) + "\n")
    for saw in (True, False):
        model = save_random_joint(tmp_path / f"model {saw}", side_chains=saw)
        both = [
            embedded(Embed(model=model, structures=(Location(folder) / "full.pdb",), out=Location(tmp_path / name)))
            for name, folder in ((f"a {saw}", files), (f"b {saw}", bare))
        ]
        assert np.array_equal(both[0]["full_A"][1], both[1]["full_A"][1]) == (not saw)


@pytest.mark.parametrize("kind", ["model", "lm"])
def test_the_bundled_chains_are_all_there_is(tmp_path, monkeypatch, kind) -> None:
    """Three of those with a backbone and three of those with side chains, read row by row as all at once."""
    rows = {file: list(module.inputs.table_rows(Location(file)))[:3] for file in (SAMPLE, FULL_ATOM)}
    monkeypatch.setattr(module.inputs, "table_rows", lambda table: iter(rows[Path(table)]))
    lm = save_tiny_lm(tmp_path / "lm")
    model = save_random_joint(tmp_path / "model")
    run = Embed(out=Location(tmp_path / "out"), level="residue", **{kind: model if kind == "model" else str(lm)})
    found = embedded(run)
    ids = [row["id"] for part in rows.values() for row in part]
    assert list(found) == ids
    chains = read_atoms()
    encoder, read = StructureEncoder.open(model), LanguageModel.open(str(lm))
    for id in ids:
        chain = chains.chain(chains.ids.index(id))
        expected = encoder.residue(chain) if kind == "model" else read(decode(chain.codes_L))
        assert found[id][0] == decode(chain.codes_L)
        np.testing.assert_allclose(found[id][1], expected, atol=1e-4)


def test_sequences_of_structures_by_a_language_model(files, tmp_path) -> None:
    lm = str(save_tiny_lm(tmp_path / "lm"))
    run = Embed(lm=lm, structures=(Location(files),), out=Location(tmp_path / "out"), level="residue", max_rejected=0.5)
    found, read = embedded(run), LanguageModel.open(lm)
    assert {id: values.shape for id, (_, values) in found.items()} == {id: (n, LM_CHANNELS) for id, n in GOOD.items()}
    np.testing.assert_allclose(found["backbone_A"][1], read(SEQUENCE), atol=1e-5)
    np.testing.assert_array_equal(found["backbone_A"][1], found["ca_A"][1])


@pytest.mark.parametrize("level", ["protein", "residue"])
def test_a_fasta_file_by_a_language_model(tmp_path, level) -> None:
    """What is no protein is named, and of two records with one id the first is kept."""
    fasta = tmp_path / "some.fasta"
    fasta.write_text(f">a some\n{SEQUENCE}\n>b\nMK1L\n>c\nMX\n>a\nWW\n>d\n\n")
    lm = str(save_tiny_lm(tmp_path / "lm"))
    run = Embed(lm=lm, fasta=Location(fasta), out=Location(tmp_path / "out"), level=level, max_rejected=0.9)
    found, read = embedded(run), LanguageModel.open(lm)
    assert {id: sequence for id, (sequence, _) in found.items()} == {"a": SEQUENCE, "c": "MX"}
    for sequence, values in found.values():
        expected = read(sequence) if level == "residue" else read(sequence).mean(axis=0)
        np.testing.assert_allclose(values, expected, atol=1e-5)
    reasons = {row["id"]: row["reason"] for row in pq.read_table(run.rejected).to_pylist()}
    assert set(reasons) == {"a", "b", "d"}


def test_what_does_not_go_together_is_refused(files, tmp_path) -> None:
    model, lm = save_random_joint(tmp_path / "model"), str(save_tiny_lm(tmp_path / "lm"))
    out, structures = Location(tmp_path / "out"), (Location(files),)
    for settings, says in (
        ({"model": model, "lm": lm}, "--model and --lm exclude each other"),
        ({"model": model, "fasta": structures[0]}, "--fasta goes without --model and --structures"),
        ({"lm": lm, "fasta": structures[0], "structures": structures}, "--fasta goes without --model and --structures"),
        ({"model": model, "level": "pair"}, "--level pair needs a score network"),
        ({"lm": lm, "level": "pair"}, "--level pair needs a score network"),
        ({"lm": lm, "fasta": structures[0] / "none.fasta"}, "no such file"),
        ({"lm": str(files)}, r"it has no config\.json"),
    ):
        with pytest.raises(ValueError, match=says):
            run_batch(JOB, Embed(out=out, **settings))
    assert not out.exists()


def test_cost_and_memory_know_the_model(tmp_path) -> None:
    out = Location(tmp_path / "out")
    row = module.inputs.EMPTY | {"file": "part.parquet", "length": 100}
    lm = save_tiny_lm(tmp_path / "lm")
    alone, fused = save_random_joint(tmp_path / "alone"), save_random_joint(tmp_path / "fused", lm)
    assert JOB.cost(Embed(out=out, model=alone), row) == pytest.approx(100 * module.PER_RESIDUE_S)
    of_text = JOB.cost(Embed(out=out, lm=str(lm)), row)
    assert of_text > 0
    assert JOB.cost(Embed(out=out, model=fused), row) == pytest.approx(100 * module.PER_RESIDUE_S + of_text)
    weights = (Path(fused) / LANGUAGE_MODEL / "model.safetensors").stat().st_size
    more = JOB.memory(Embed(out=out, model=fused)) - JOB.memory(Embed(out=out, model=alone))
    assert more >= 2 * weights > 0
    assert replace(Embed(out=out, model=alone), level="residue").is_score_net is False
