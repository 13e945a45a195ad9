"""Folders, archives and lists of structure files; what leads out of an archive is not read."""

import errno
import gzip
import io
import tarfile
from pathlib import Path

import pytest

from protray.data.location import Location
from protray.data.structure import files
from protray.data.structure.files import beginning, find_sources, is_packed, read_source
from protray.seq.errors import InputError

FILES = {"b/2xyz.cif.gz": gzip.compress(b"two"), "a/1abc.pdb": b"one", "a/notes.txt": b"-", ".hidden/x.pdb": b"-"}


def make_tar(path: Path, mode: str, members: dict[str, bytes] = FILES) -> Path:
    with tarfile.open(path, mode) as tar:
        for name, raw in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return path


def test_folder(tmp_path) -> None:
    for name, raw in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(raw)
    sources, errors = find_sources(tmp_path, Location(tmp_path))
    assert [read_source(source) for source in sources] == [b"one", b"two"]
    assert [source.name for source in sources] == [str(tmp_path / "a/1abc.pdb"), str(tmp_path / "b/2xyz.cif.gz")]
    assert [(error.file, error.reason.split(";")[0]) for error in errors] == [
        (str(tmp_path / "a/notes.txt"), "extension '.txt' is no structure format")
    ]


def test_links_in_a_folder_are_read_or_listed(tmp_path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/behind.pdb").write_bytes(b"one")
    (tmp_path / "s/linkdir").symlink_to("../elsewhere")
    (tmp_path / "s/dangling.pdb").symlink_to("/nowhere/x.pdb")
    sources, errors = find_sources(tmp_path / "s", Location(tmp_path))
    assert [source.name for source in sources] == [str(tmp_path / "s/linkdir/behind.pdb")]
    assert read_source(sources[0]) == b"one"
    assert [(error.file, error.reason[:13]) for error in errors] == [
        (str(tmp_path / "s/dangling.pdb"), "a broken link")
    ]


def test_tasks_get_absolute_paths_and_names_as_given(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a" / "1abc.pdb"
    file.parent.mkdir()
    file.write_bytes(b"one")
    Path("list.txt").write_text("a/1abc.pdb\n")
    make_tar(tmp_path / "x.tar", "w")
    for given in ("a", "list.txt", "a/1abc.pdb"):
        sources, _ = find_sources(Path(given), Location("."))
        assert [(source.name, source.path) for source in sources] == [("a/1abc.pdb", str(file))]
    sources, _ = find_sources(Path("x.tar"), Location("."))
    assert [(source.name, source.path) for source in sources] == [
        (f"x.tar/{name}", str(tmp_path / "x.tar")) for name in ("a/1abc.pdb", "b/2xyz.cif.gz")
    ]


@pytest.mark.parametrize(
    ("name", "mode"),
    [("x.tar", "w"), ("x.tar.gz", "w:gz"), ("x.tgz", "w:gz"), ("x.tar.xz", "w:xz"), ("x.tar.bz2", "w:bz2")],
)
def test_archives(tmp_path, name, mode) -> None:
    archive = make_tar(tmp_path / name, mode)
    work = tmp_path / "work"
    work.mkdir()
    for _ in range(2):  # the second time from the copy that the first left
        sources, errors = find_sources(archive, Location(work))
        assert [read_source(source) for source in sources] == [b"one", b"two"]
        assert [source.name for source in sources] == [f"{archive}/a/1abc.pdb", f"{archive}/b/2xyz.cif.gz"]
        assert [error.file for error in errors] == [f"{archive}/a/notes.txt"]
    assert {path.name for path in work.iterdir()} == (set() if mode == "w" else {"archive.tar"})


def test_members_that_lead_out_and_links_are_refused_and_nothing_is_written(tmp_path) -> None:
    archive = make_tar(
        tmp_path / "x.tar", "w", {"../out.pdb": b"-", "/abs.pdb": b"-", "a/../../o.pdb": b"-", "./ok.pdb": b"ok"}
    )
    with tarfile.open(archive, "a") as tar:
        for name, kind in (
            ("soft.pdb", tarfile.SYMTYPE),
            ("hard.pdb", tarfile.LNKTYPE),
            ("pipe.pdb", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    sources, errors = find_sources(archive, Location(tmp_path))
    assert [read_source(source) for source in sources] == [b"ok"]
    reasons = {error.file.removeprefix(f"{archive}/"): error.reason for error in errors}
    outside, no_file = "a member path that leads out of the archive is not read", "a link or another thing"
    assert {name: reason == outside for name, reason in reasons.items()} == {
        "../out.pdb": True, "/abs.pdb": True, "a/../../o.pdb": True,
        "soft.pdb": False, "hard.pdb": False, "pipe.pdb": False,
    }  # fmt: skip
    assert all(reason.startswith(no_file) for reason in reasons.values() if reason != outside)
    assert {path.name for path in tmp_path.iterdir()} == {"x.tar"}


@pytest.mark.parametrize(("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz"), ("x.tar.xz", "w:xz")])
def test_a_truncated_archive_is_an_error(tmp_path, name, mode) -> None:
    archive = make_tar(
        tmp_path / name, mode, {"a.pdb": bytes(range(256)) * 40, "b.pdb": bytes(range(255, -1, -1)) * 40}
    )
    raw = archive.read_bytes()
    archive.write_bytes(raw[: 14_000 if mode == "w" else len(raw) - 60])
    with pytest.raises(InputError, match=f"{name}: the archive"):
        find_sources(archive, Location(tmp_path))
    assert not (tmp_path / "archive.tar").exists()


@pytest.mark.parametrize("mode", ["gz", "xz", "bz2"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_is_not_the_archives_fault(tmp_path, monkeypatch, mode, number) -> None:
    archive = make_tar(tmp_path / f"x.tar.{mode}", f"w:{mode}")

    def broken(*_: object, **__: object) -> None:
        raise OSError(number, "the disk")

    monkeypatch.setattr("shutil.copyfileobj", broken)  # while it is unpacked
    monkeypatch.setattr("tarfile.open", broken)  # while its beginning is read
    for work in (Location(tmp_path / "work"), None):
        with pytest.raises(OSError, match="the disk") as raised:
            find_sources(archive, work)
        assert raised.value.errno == number
    assert list((tmp_path / "work").iterdir()) == []


def test_a_list_names_files_by_line(tmp_path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "1abc.pdb").write_bytes(b"one")
    (tmp_path / "list.txt").write_text(f"# mine\ns/1abc.pdb\n\n{tmp_path}/s/1abc.pdb  # again\nabsent.cif\nlist.txt\n")
    sources, errors = find_sources(tmp_path / "list.txt", Location(tmp_path))
    assert [read_source(source) for source in sources] == [b"one", b"one"]
    assert [(error.line, error.reason.split(":")[0]) for error in errors] == [
        (5, "no such file"),
        (6, "extension '.txt' is no structure format; known are .pdb .ent .cif .mmcif"),
    ]


def test_one_file_and_what_cannot_be_read(tmp_path) -> None:
    (tmp_path / "1abc.pdb").write_bytes(b"one")
    sources, errors = find_sources(tmp_path / "1abc.pdb", Location(tmp_path))
    assert ([read_source(source) for source in sources], errors) == ([b"one"], [])
    (tmp_path / "empty.txt").write_text("# nothing\n")
    (tmp_path / "binary.dat").write_bytes(b"\0\1")
    (tmp_path / "text.tar").write_text("no archive\n" * 100)
    for name, reason in {
        "absent": "does not exist",
        "empty.txt": "the list of structure files is empty",
        "binary.dat": "neither a structure, an archive",
        "text.tar": "the archive cannot be read",
    }.items():
        with pytest.raises(ValueError, match=reason):
            find_sources(tmp_path / name, Location(tmp_path))


def test_the_beginning_of_a_packed_archive(tmp_path, monkeypatch) -> None:
    """Without a folder to unpack into: files in memory, of which those that are no structures are not told."""
    archive = make_tar(tmp_path / "x.tar.gz", "w:gz")
    assert is_packed(archive) and not is_packed(make_tar(tmp_path / "x.tar", "w"))
    sources, errors = find_sources(archive, None)
    assert [read_source(source) for source in sources] == [b"two", b"one"] and errors == []
    assert beginning(archive)[1] == 1.0
    monkeypatch.setattr(files, "HELD", 1)
    other = make_tar(tmp_path / "y.tar.gz", "w:gz")
    sources, share = beginning(other)
    assert [source.name for source in sources] == [f"{other}/b/2xyz.cif.gz"] and 0 < share <= 1
    assert {path.name for path in tmp_path.iterdir()} == {"x.tar.gz", "x.tar", "y.tar.gz"}
    (tmp_path / "z.tar.gz").write_bytes(archive.read_bytes()[:20])
    with pytest.raises(InputError, match="the archive cannot be read"):
        beginning(tmp_path / "z.tar.gz")
