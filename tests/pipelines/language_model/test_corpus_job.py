"""FASTA files -> the corpus that pre-training reads: whole clusters held out, resumed, damaged files named."""

import gzip
import lzma
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protray.cluster.batch.job import Span
from protray.data.location import Location
from protray.pipelines.language_model import corpus as module
from protray.pipelines.language_model.corpus import JOB, CorpusSettings, corpus_folder, encode_corpus
from protray.plm.pretraining.corpus import open_corpus
from protray.seq.alphabet import AMINO_ACIDS, decode
from protray.seq.fasta import read_sequences

pytestmark = pytest.mark.ray


@pytest.fixture
def run(tmp_path) -> CorpusSettings:
    """A folder of plain, gz and xz FASTA files, and a table of clusters of three."""
    folder = tmp_path / "fasta"
    folder.mkdir()
    rng = np.random.default_rng(0)
    words = {f"p{m}": "".join(rng.choice(list(AMINO_ACIDS), 30 + m % 20)) for m in range(150)}
    text = [f">{name} protein\n{word}\n" for name, word in words.items()]
    (folder / "a.fasta").write_text("".join(text[:50]) + ">short\nACD\n>odd\n" + "A1" * 30 + "\n")
    (folder / "b.fasta.gz").write_bytes(gzip.compress("".join(text[50:100]).encode()))
    (folder / "c.fa.xz").write_bytes(lzma.compress("".join(text[100:]).encode()))
    (tmp_path / "held.fasta").write_text("".join(text[:6]))
    (tmp_path / "exclude.txt").write_text("p6\np7\n")
    (tmp_path / "clusters.tsv").write_text("".join(f"p{m - m % 3}\tp{m}\n" for m in range(150)))
    return CorpusSettings(
        fasta=(Location(folder),), clusters=Location(tmp_path / "clusters.tsv"), held_out_share=0.3,
        out=Location(tmp_path / "cache"),
    )  # fmt: skip


def sequences(folder: Location, split: str) -> list[str]:
    corpus = open_corpus(folder.path, split)
    return [decode(corpus.codes(m)) for m in range(len(corpus))]


def test_whole_clusters_are_held_out_and_a_broken_run_goes_on(ray_local, run, monkeypatch, tmp_path) -> None:
    summary, folder = encode_corpus(run)
    assert folder == corpus_folder(run) and folder.parent == run.out
    assert summary["sequences"]["train"] + summary["sequences"]["held-out"] == 150
    assert summary["left_out"] == {"a character that is no residue": 1, "shorter than 30 residues": 1}
    proteins = {split: sequences(folder, split) for split in ("train", "held-out")}
    words = {word: name for name, word in read_sequences([run.fasta[0].path])}
    clusters = {split: {int(words[word][1:]) // 3 for word in found} for split, found in proteins.items()}
    assert clusters["train"].isdisjoint(clusters["held-out"])
    assert len(clusters["held-out"]) == pytest.approx(15, abs=13)  # of 50; four standard deviations
    assert encode_corpus(run)[0]["cached"]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    other = replace(run, out=Location(tmp_path / "other"))
    with monkeypatch.context() as patch:
        patch.setattr(module, "add_up", stop)
        with pytest.raises(KeyboardInterrupt):
            encode_corpus(other)
    there = corpus_folder(other)
    first, *kept = (there / "work" / "parts").files("item-*.parquet")
    first.remove()
    stamps = {file: file.stamp() for file in there.files("*00000001*.npy")}
    resumed, _ = encode_corpus(other)
    assert len(kept) == 2 and stamps == {file: file.stamp() for file in stamps}
    assert resumed["parts"] == summary["parts"] and resumed["residues"] == summary["residues"]
    assert {split: sequences(there, split) for split in proteins} == proteins


def test_the_folder_is_that_of_the_content(no_ray, run, tmp_path) -> None:
    """A copy that is younger is the same input; another --min-length, or one letter more, is another corpus."""
    shutil.copytree(run.fasta[0], tmp_path / "copied")
    os.utime(tmp_path / "copied" / "a.fasta", (1, 1))
    copied = replace(run, fasta=(Location(tmp_path / "copied"),))
    assert corpus_folder(copied) == corpus_folder(run)
    assert corpus_folder(replace(run, min_length=20)) != corpus_folder(run)
    assert corpus_folder(replace(run, seed=1)) != corpus_folder(run)
    with open(tmp_path / "copied" / "a.fasta", "a") as file:
        file.write("A")
    assert corpus_folder(copied) != corpus_folder(run)


def test_ids_of_held_out_files_and_lists_never_train(no_ray, run, tmp_path) -> None:
    held_out, exclude = Location(tmp_path / "held.fasta"), Location(tmp_path / "exclude.txt")
    summary, folder = encode_corpus(replace(run, clusters=None, held_out=(held_out,), exclude=exclude))
    assert summary["sequences"] == {"train": 142, "held-out": 0}  # 150 less 6 held out and 2 excluded
    assert summary["left_out"] == {
        "excluded by its id": 8,
        "a character that is no residue": 1,
        "shorter than 30 residues": 1,
    }
    assert summary["repeated_ids"] == 0
    words = dict(read_sequences([run.fasta[0].path]))
    assert sequences(folder, "train") == [words[f"p{m}"] for m in range(8, 150)]  # in the order of the input


def test_a_damaged_file_is_named(no_ray, run, tmp_path) -> None:
    whole = (run.fasta[0] / "b.fasta.gz").read_bytes()
    (tmp_path / "cut.fasta.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"1 of 4 files .*cut.fasta.gz(:\d+)?: the file is damaged"):
        encode_corpus(replace(run, fasta=(*run.fasta, Location(tmp_path / "cut.fasta.gz"))))


def test_nothing_to_train_on_is_an_error(no_ray, run) -> None:
    with pytest.raises(ValueError, match="nothing to train on in .*: .*shorter than 1000 residues"):
        encode_corpus(replace(run, min_length=1000))


def test_files_that_are_encoded_together_keep_their_order(run, tmp_path) -> None:
    list(JOB.rows(run))  # writes the tables of ids
    found = list(JOB.rows(run))
    done = JOB.work(JOB.open(run, "cpu"), [Span(n + 7, row) for n, row in enumerate(found)])
    (row,) = done.rows.to_pylist()
    assert row["number"] == 7 and [Path(file).name for file in row["files"]] == ["a.fasta", "b.fasta.gz", "c.fa.xz"]
    assert sorted(file.name for file in run.out.files("*.codes_R.npy")) == [
        "held-out-00000007-00000.codes_R.npy", "train-00000007-00000.codes_R.npy",
    ]  # fmt: skip
