"""Paths, and addresses against real servers of S3 and of Google's API on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bucket import KEYS, keys, serve, serve_gs

from protray.data import location
from protray.data.location import Location


@pytest.fixture(scope="module", params=["path", "s3", "gs"])
def server(request, tmp_path_factory) -> Iterator[tuple[str, dict[str, str]]]:
    """The scheme of its addresses, and the environment of its clients."""
    if request.param == "path":
        yield "path", {}
    elif request.param == "s3":
        with serve() as address:
            yield "s3", KEYS | {"AWS_ENDPOINT_URL": address}
    else:
        with serve_gs(tmp_path_factory.mktemp("account")) as environment:
            yield "gs", environment


@pytest.fixture
def out(server: tuple[str, dict[str, str]], tmp_path: Path, monkeypatch) -> Iterator[Location]:
    """A folder of its own, which is not there yet."""
    scheme, environment = server
    for name, value in (environment | {"PROTRAY_CACHE": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    location._filesystem.cache_clear()
    yield Location(tmp_path / "run" if scheme == "path" else f"{scheme}://bucket/{tmp_path.name}/run")
    location._filesystem.cache_clear()


def names(out: Location) -> set[str]:
    """Of all files, hidden ones too, seen by another client than ours."""
    if out.is_address:
        return keys(Path(out))
    return {path.relative_to(out).as_posix() for path in Path(out).rglob("*") if path.is_file()}


def test_files_come_whole_and_go(out: Location) -> None:
    assert not out.exists() and out.files() == [] and not (out / "a").is_file()
    (out / "b" / "text").write_text("text")
    (out / "a.json").write_json({"a": 1})
    (out / ".hidden").write_text("")
    with pytest.raises(ZeroDivisionError), (out / "never").writing() as partial:
        partial.write_text(str(1 / 0))
    assert names(out) == {"b/text", "a.json", ".hidden"}
    assert out.files() == [out / "a.json", out / "b" / "text"]
    assert out.files("*.json") == [out / "a.json"]
    assert out.sizes() == {out / "a.json": 12, out / "b" / "text": 4}
    assert (out / "a.json").read_json() == {"a": 1} and (out / "b" / "text").read_bytes() == b"text"
    assert out.is_dir() and not out.is_file() and (out / "a.json").size() == 12
    (out / "a.json").write_text("{")
    with pytest.raises(ValueError, match=r"a\.json is damaged"):
        (out / "a.json").read_json()
    (out / "b").remove()
    (out / "a.json").remove()
    (out / "a.json").remove()
    assert names(out) == {".hidden"}
    out.remove()
    assert names(out) == set()


def test_a_folder_replaces_what_was_there(out: Location) -> None:
    for content in (("old", "both"), ("both", "deep/new")):
        with (out / "model").writing() as partial:
            for name in content:
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                (partial / name).write_text(name)
    assert names(out) == {"model/both", "model/deep/new"}
    here = (out / "model").fetch()
    assert sorted(path.name for path in here.rglob("*") if path.is_file()) == ["both", "new"]
    assert (out / "model").fetch() == here
    with pytest.raises(FileNotFoundError):
        Location(f"{out}/nothing").fetch().stat()


def test_two_files_of_one_size_are_told_apart(out: Location) -> None:
    (out / "a").write_text("one")
    first = (out / "a").stamp()
    (out / "a").write_text("two")
    assert first[0] == (out / "a").stamp()[0] == 3
    if not out.is_address:  # the servers here count seconds
        assert first != (out / "a").stamp()


def test_errors_name_the_address(server: tuple[str, dict[str, str]], out: Location) -> None:
    if not out.is_address:
        return
    missing = Location(f"{server[0]}://no-such-bucket/x/a")
    with pytest.raises(OSError, match=f"^{missing}: .*(does not exist|404).*credentials right"):
        missing.write_text("")


def test_names_by_hand() -> None:
    where = Location("S3://bucket//runs/")
    assert where == "s3://bucket/runs" and Location(Path("s3://bucket/runs")) == where
    assert (where / "mine.tar.gz", (where / "a.json").suffix, (where / "a").parent) == (
        "s3://bucket/runs/mine.tar.gz", ".json", where,
    )  # fmt: skip
    assert Location("/a/b/../c") == "/a/c" and Location("/a/b").parent == "/a" and (Location("/") / "a") == "/a"
    assert Location("runs/mine") == str(Path("runs/mine").absolute()) and not Location("a:b/c").is_address
    with pytest.raises(ValueError, match="this must be a file or folder that all nodes see, not an address"):
        _ = where.path


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://key:hunter2@bucket/x", "credentials, region and endpoint come from the environment"),
        ("s3://bucket/x?endpoint_override=localhost:9000", "come from the environment"),
        ("s3://", "expected a bucket and a folder in it, such as s3://bucket/runs/mine"),
        ("s3://bucket", "expected a bucket and a folder in it, such as s3://bucket/runs/mine"),
        ("gs://bucket/../x", "expected a bucket and a folder"),
        ("hdfs://host/x", "hdfs://host/x: protray knows folders and the addresses s3:// and gs://"),
    ],
)
def test_addresses_that_cannot_be_used(address: str, words: str) -> None:
    with pytest.raises(ValueError) as raised:
        Location(address)
    assert words in str(raised.value) and "hunter2" not in str(raised.value)
