"""Identities by content: what is copied or touched is the same, what is changed is not, and nothing is read twice."""

import os
import shutil
from pathlib import Path

import pytest

from protray.cluster.storage.identity import belongs, claim, content_digest, dataset_digest, difference, digest
from protray.data.location import Location


@pytest.fixture
def data(tmp_path: Path, monkeypatch) -> Location:
    monkeypatch.setenv("PROTRAY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "a").write_text("content of a")
    (tmp_path / "data" / "deep" / "b").write_text("content of b")
    return Location(tmp_path / "data")


def test_copies_and_touched_files_are_the_same(data: Location, tmp_path: Path) -> None:
    first = content_digest(data.files(), data)
    os.utime(data / "a", (1, 1))
    assert content_digest(data.files(), data) == first
    copy = Location(shutil.copytree(data, tmp_path / "copy"))
    assert content_digest(copy.files(), copy) == first
    (copy / "a").write_text("CONTENT OF A")
    assert content_digest(copy.files(), copy) != first
    (copy / "a").write_text("content of a")
    assert content_digest(copy.files(), copy) == first
    (copy / "a").path.rename(copy / "c")
    assert content_digest(copy.files(), copy) != first


@pytest.mark.parametrize("cached", [True, False])
def test_a_known_file_is_not_read_again(data: Location, tmp_path: Path, monkeypatch, cached: bool) -> None:
    """Without a folder to write the cache to, files are read each time."""
    if not cached:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("PROTRAY_CACHE", str(tmp_path / "file"))
    first, opened = content_digest(data.files(), data), []
    plain = open

    def noted(name, *more, **options):  # noqa: ANN001, ANN002, ANN003, ANN202
        opened.append(name)
        return plain(name, *more, **options)

    monkeypatch.setattr("builtins.open", noted)
    assert content_digest(data.files(), data) == first
    assert opened == ([] if cached else [data / "a", data / "deep" / "b"])


def test_a_folder_belongs_to_one_set_of_settings(tmp_path: Path) -> None:
    out = Location(tmp_path / "out")
    assert not belongs(out, {"lm": "x"})
    claim(out, {"lm": "x", "window": None})
    claim(out, {"lm": "x", "window": None})
    assert belongs(out, {"lm": "x", "window": None})
    with pytest.raises(ValueError, match="out was made differently: lm was 'x', is 'y'; window was None, is 9. Choose"):
        belongs(out, {"lm": "y", "window": 9})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="mine exists and is no folder of such a job"):
        belongs(Location(tmp_path / "mine"), {})


def test_what_json_makes_equal_is_equal() -> None:
    assert difference({"a": [1, 2]}, {"a": (1, 2)}) == ""
    assert difference({"a": 1}, {"b": None}) == "a was 1, is None"


def test_of_settings_within_settings_only_those_that_differ_are_named() -> None:
    before = {"fit": {"seed": 0, "net": {"width": 8, "depth": 2}}, "files": ["a"]}
    now = {"fit": {"seed": 0, "net": {"width": 9, "depth": 2}}, "files": ["b"]}
    assert difference(before, now) == "files was ['a'], is ['b']; fit.net.width was 8, is 9"


def test_digests_are_of_content() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})


def test_a_dataset_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"digest": "abc"}')
    assert dataset_digest(Location(tmp_path)) == "abc"
    (tmp_path / "dataset.json").write_text('{"chains": 3}')
    with pytest.raises(ValueError, match=r"dataset.json is damaged or not by those jobs: it lacks the digest"):
        dataset_digest(Location(tmp_path))
    (tmp_path / "dataset.json").unlink()
    with pytest.raises(ValueError, match=r"no dataset.json in it; make it with jobs/prepare.py"):
        dataset_digest(Location(tmp_path))
