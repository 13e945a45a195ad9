"""Folders with links: each file is read or named, each folder is read once."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from protray.seq.files.folders import list_folder


def make(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(paths: Iterable[Path | str], folder: Path) -> list[str]:
    return [str(Path(path).relative_to(folder)) for path in paths]


def test_files_of_subfolders_in_order_without_hidden_ones(tmp_path) -> None:
    make(*(tmp_path / name for name in ("b.a3m", "a/z.a3m", "a/.x", ".git/y.a3m", "c/.d/e.a3m")))
    listing = list_folder(tmp_path)
    assert (names(listing.files, tmp_path), listing.errors) == (["a/z.a3m", "b.a3m"], [])


def test_links_to_folders_and_files_are_followed(tmp_path) -> None:
    top = tmp_path / "msas"
    make(top / "plain.a3m", tmp_path / "elsewhere/behind.a3m", tmp_path / "elsewhere/deep/er.a3m", tmp_path / "one.a3m")
    (top / "linkdir").symlink_to("../elsewhere")
    (top / "linked.a3m").symlink_to(tmp_path / "one.a3m")
    (tmp_path / "itself").symlink_to(top)
    for folder in (top, tmp_path / "itself"):
        listing = list_folder(folder)
        assert names(listing.files, folder) == ["linkdir/behind.a3m", "linkdir/deep/er.a3m", "linked.a3m", "plain.a3m"]
        assert listing.errors == []


def test_a_folder_is_read_once_by_its_own_name(tmp_path) -> None:
    make(tmp_path / "z/x.a3m", tmp_path / "z/sub/y.a3m")
    for link in ("a", "zz", "z/sub/again"):
        (tmp_path / link).symlink_to(tmp_path / "z" / "sub")
    listing = list_folder(tmp_path)
    assert names(listing.files, tmp_path) == ["z/sub/y.a3m", "z/x.a3m"]
    assert names((error.file for error in listing.errors), tmp_path) == ["z/sub/again"]


def test_what_cannot_be_read_is_listed(tmp_path) -> None:
    make(tmp_path / "in/p.a3m", tmp_path / "other/secret.a3m")
    (tmp_path / "in/dangling.a3m").symlink_to("/nowhere/x.a3m")
    (tmp_path / "in/loop.a3m").symlink_to("loop.a3m")
    (tmp_path / "in/up").symlink_to("..")
    os.mkfifo(tmp_path / "in/pipe.a3m")
    listing = list_folder(tmp_path / "in")
    assert names(listing.files, tmp_path) == ["in/p.a3m"]
    assert {Path(error.file).name: error.reason.split(",")[0].split(";")[0] for error in listing.errors} == {
        "dangling.a3m": "a broken link",
        "loop.a3m": "a broken link",
        "pipe.a3m": "no plain file but a pipe",
        "up": "a link to a folder that it lies in",
    }
    assert "'/nowhere/x.a3m'" in listing.errors[0].reason


def test_no_folder(tmp_path) -> None:
    with pytest.raises(ValueError, match="is not a folder"):
        list_folder(tmp_path / "absent")
