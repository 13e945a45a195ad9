"""Parameters without secrets, and tags that say where a run comes from."""

import subprocess
from pathlib import Path

import pytest

from protray.cluster.storage.secrets import redact
from protray.cluster.tracking import run_info


def test_long_values_are_cut_and_stay_distinct() -> None:
    first, second = ({"ids": "P" * 600 + end} for end in ("A", "B"))
    cut = run_info.flatten(first)["ids"]
    assert len(cut) == 500
    assert "[cut: 601 characters, sha256 " in cut
    assert cut != run_info.flatten(second)["ids"]
    assert run_info.flatten({"ids": "P" * 500})["ids"] == "P" * 500


@pytest.mark.parametrize("name", ["hf_token", "HF_TOKEN", "api_key", "apiKey", "db.password", "aws_secret_access_key"])
def test_secrets_are_withheld(name: str) -> None:
    assert run_info.flatten({"nested": {name: "hunter2"}}) == {f"nested.{name}": "(withheld)"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql://u:pa/ss@h/db", "mysql://***@h/db"),
        ("http://u:p@ss@host/x", "http://***@host/x"),
        ("https://key@h/x", "https://***@h/x"),
        ("http://h:8080/x@y and s3://bucket/a@b", "http://h:8080/x@y and s3://bucket/a@b"),
        ("h?access_token=a&b=1&X-Amz-Credential=c", "h?access_token=***&b=1&X-Amz-Credential=***"),
        ("h?password=a", "h?password=***"),
    ],
)
def test_addresses_lose_what_grants_access(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize("name", ["token_budget", "max_tokens", "tokenizer", "key", "author"])
def test_ordinary_names_are_not_secrets(name: str) -> None:
    assert run_info.flatten({name: 5}) == {name: "5"}


def test_common_tags_and_the_commit(tmp_path: Path) -> None:
    tags = run_info.common_tags(seed=3, data_digest="abc", world_size=2)
    assert (tags["seed"], tags["data_digest"], tags["world_size"]) == ("3", "abc", "2")
    assert {"version.protray", "version.torch", "version.ray", "version.transformers"} <= tags.keys()
    assert run_info.git_commit(tmp_path) is None  # outside a checkout


def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        command = ["git", *identity, "-C", str(tmp_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    source = tmp_path / "run_info.py"
    source.write_text("1")
    git("init")
    assert run_info.git_commit(tmp_path) is None  # there, but not tracked
    git("add", ".")
    git("commit", "-m", "first")
    assert run_info.git_commit(tmp_path) == git("rev-parse", "HEAD")
    source.write_text("2")
    assert run_info.git_commit(tmp_path) == git("rev-parse", "HEAD") + "-dirty"
