"""Addresses as options: mirrors and buckets, against real servers of S3 and of Google's API on this machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from bucket import KEYS, keys, serve, serve_gs
from protray.cluster.storage.files import whole, write_json, write_table

from protray.cluster.storage import remote


@pytest.fixture(scope="module", params=["s3", "gs"])
def server(request, tmp_path_factory) -> Iterator[tuple[str, dict[str, str]]]:
    """The scheme of its addresses, and the environment of its clients."""
    if request.param == "s3":
        with serve() as address:
            yield "s3", KEYS | {"AWS_ENDPOINT_URL": address}
    else:
        with serve_gs(tmp_path_factory.mktemp("account")) as environment:
            yield "gs", environment


@pytest.fixture
def out(server: tuple[str, dict[str, str]], tmp_path: Path, monkeypatch) -> Path:
    """An address as an option gives it, in a folder of its own; this process's mirror is in `tmp_path`."""
    scheme, environment = server
    for name, value in (environment | {"PROTRAY_CACHE": str(tmp_path / "here")}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "_as_there", {})
    remote._filesystem.cache_clear()
    return Path(f"{scheme}://bucket/{tmp_path.name}/run")


@dataclass(frozen=True)
class Run:
    out: Path
    data: Path | None = None
    lists: tuple[Path, ...] = ()


def test_addresses_have_mirrors_and_paths_stay_as_they_are(out: Path, tmp_path: Path) -> None:
    mirror = remote.located(out)
    scheme = str(out).partition(":")[0]
    assert mirror == tmp_path / "here" / "protray-mirror" / scheme / "bucket" / tmp_path.name / "run"
    assert remote.uri_of(mirror / "a.json") == f"{scheme}://bucket/{tmp_path.name}/run/a.json"
    elsewhere = Path("/other/cache/protray-mirror") / scheme / "bucket" / tmp_path.name / "run"
    assert remote.here(elsewhere) == mirror
    for path in (Path("runs/mine"), tmp_path, Path("a:b/c")):
        assert remote.located(path) == path == remote.here(path) == remote.pull(path)
        assert remote.uri_of(path) is None and not remote.is_address(path)


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
        remote.located(Path(address))
    assert words in str(raised.value) and "hunter2" not in str(raised.value)


def test_messages_name_the_address(out: Path) -> None:
    mirror = remote.located(out)
    text = f"{mirror}/model was made differently; see '{mirror}/a.json', other is /x/protray-mirror/gs/b/c, s3://d/e"
    uri = remote.uri_of(mirror)
    assert remote.named(text) == f"{uri}/model was made differently; see '{uri}/a.json', other is gs://b/c, s3://d/e"
    assert remote.named(out / "maps") == f"{uri}/maps"
    assert remote.named("/shared/runs/mine: ratio 3:/4") == "/shared/runs/mine: ratio 3:/4"


def test_a_file_is_in_the_bucket_as_soon_as_it_is_whole(out: Path, monkeypatch, tmp_path: Path) -> None:
    mirror = remote.located(out)
    write_json(mirror / "deep" / "a.json", {"a": 1})
    write_table(pa.table({"a": [1]}), mirror / "t.parquet")
    with pytest.raises(ZeroDivisionError), whole(mirror / "never") as partial:
        partial.write_text(str(1 / 0))
    assert keys(out) == {"deep/a.json", "t.parquet"}
    monkeypatch.setenv("PROTRAY_CACHE", str(tmp_path / "there"))  # another node, which was given the first one's path
    write_json(mirror / "b.json", {})
    assert not (mirror / "b.json").exists() and remote.located(out).joinpath("b.json").is_file()
    assert remote.pull(mirror / "deep" / "a.json") == remote.located(out) / "deep" / "a.json"
    assert remote.located(out).joinpath("deep", "a.json").read_text() == (mirror / "deep" / "a.json").read_text()


def test_only_what_is_new_is_copied(out: Path, monkeypatch) -> None:
    mirror = remote.located(out)
    for name in ("a", "b/c", "d.json", "b/e.json", ".x.123", "f.db-journal"):
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).write_text(name)
    copied: list[str] = []
    copy = remote._copy

    def noted(source: str, target: str, **places: object) -> None:
        copied.append(target)
        copy(source, target, **places)  # type: ignore[arg-type]

    monkeypatch.setattr(remote, "_copy", noted)
    remote.push(mirror)
    assert keys(out) == {"a", "b/c", "d.json", "b/e.json"}
    remote.push(mirror / ".x.123")  # named itself, such as the doctor's file of a node whose id has digits alone
    assert ".x.123" in keys(out)
    copied.pop()
    assert [Path(name).name for name in copied[2:]] == ["e.json", "d.json"]  # what says "finished" comes last
    del copied[:]
    remote.push(mirror)
    remote.pull(mirror)
    assert copied == []
    (mirror / "a").write_text("A")  # of the same size
    remote.push(mirror)
    assert len(copied) == 1
    remote._as_there.clear()  # another process on this node
    remote.pull(mirror)
    assert len(copied) == 1


def test_the_bucket_is_the_truth_when_a_job_starts(out: Path) -> None:
    seen = {}

    @remote.kept(skip="big")
    def job(run: Run, word: str) -> str:
        seen[word] = {str(path.relative_to(run.out)) for path in run.out.rglob("*")}
        (run.out / "big").mkdir(parents=True, exist_ok=True)
        (run.out / "big" / word).write_text(word)
        (run.out / "notes").write_text(word)
        if word == "third":
            raise KeyboardInterrupt
        return word

    assert job(Run(out), "first") == "first"
    mirror = remote.located(out)
    (mirror / "left").mkdir()
    (mirror / "left" / "over").write_text("of a killed run")
    (mirror / "notes").write_text("other")
    assert job(Run(out), "second") == "second"
    assert seen == {"first": set(), "second": {"notes"}}
    with pytest.raises(KeyboardInterrupt):
        job(Run(out), "third")
    assert keys(out) == {"big/first", "big/second", "big/third", "notes"}
    assert remote.pull(mirror / "notes", exact=True).read_text() == "third"


def test_inputs_are_copied_where_a_job_takes_them_from_a_bucket(out: Path) -> None:
    @remote.kept("data")
    def job(run: Run) -> str:
        assert run.data is not None
        return (run.data / "part").read_text()

    mirror = remote.located(out)
    write_json(mirror / "dataset.json", {})
    (mirror / "part").write_text("content")
    remote.push(mirror)
    remote.drop(mirror)
    assert not mirror.exists()
    assert job(Run(out / "results", data=out)) == "content"
    with pytest.raises(ValueError, match="--lists is (s3|gs)://bucket/.*; it must be a file or folder that all"):
        job(Run(out, lists=(out,)))


def test_what_is_removed_is_gone_in_both_places(out: Path, tmp_path: Path) -> None:
    mirror = remote.located(out)
    for name in ("a", "b/c", "b/d/e"):
        with whole(mirror / name) as partial:
            partial.write_text(name)
    remote.remove(mirror / "a")
    remote.remove(mirror / "b" / "d")
    remote.remove(mirror / "never")
    assert keys(out) == {"b/c"} and not (mirror / "b" / "d").exists()
    (tmp_path / "plain").mkdir()
    remote.drop(tmp_path / "plain")
    assert (tmp_path / "plain").is_dir()
    remote.remove(tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


def test_errors_name_the_address(out: Path) -> None:
    scheme = str(out).partition(":")[0]
    mirror = remote.located(Path(f"{scheme}://no-such-bucket/x"))
    with pytest.raises(OSError, match=f"^{scheme}://no-such-bucket/x/a: .*(does not exist|404).*credentials right"):
        with whole(mirror / "a") as partial:
            partial.write_text("")


def test_checkpoints_stay_in_the_bucket(out: Path) -> None:
    mirror = remote.located(out)
    for name in ("cache/train-1/checkpoint-000001/state.pt", "cache/stage.json"):
        with whole(mirror / name) as partial:
            partial.write_text(name)
    remote.drop(mirror)
    remote.pull(mirror, exact=True)
    assert [path.name for path in mirror.rglob("*") if path.is_file()] == ["stage.json"]
