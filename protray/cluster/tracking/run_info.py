"""What is written about a run: flat parameters without secrets, and tags that say where it came from."""

import getpass
import hashlib
import importlib.metadata
import math
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protray.cluster.storage.secrets import WITHHELD, is_secret, redact

LONGEST = 500  # characters of a parameter; MLflow takes 6000, but no table can show them


def flatten(params: Mapping, prefix: str = "") -> dict[str, str]:
    """Turn nested settings into ``{"weights.alpha": "0.16"}``: no secrets, nothing longer than 500 characters."""
    flat: dict[str, str] = {}
    for name, value in params.items():
        key = metric_name(f"{prefix}{name}")
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{key}.")
        else:
            flat[key] = WITHHELD if is_secret(str(name)) else shorten(redact(str(value)))
    return flat


def metric_name(name: str) -> str:
    """Replace what MLflow refuses in a name (all but letters, digits and ``_ - . : / space``)."""
    return re.sub(r"[^\w\-.:/ ]", "_", name)


def shorten(text: str) -> str:
    """Cut a long text, and say its length and digest so that two long ones can still be told apart."""
    if len(text) <= LONGEST:
        return text
    mark = f"... [cut: {len(text)} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]}]"
    return text[: LONGEST - len(mark)] + mark


def finite(content: Any) -> Any:
    """`content` with null for every number that is not finite, which JSON does not know."""
    if isinstance(content, dict):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def common_tags(seed: int, data_digest: str, world_size: int) -> dict[str, str]:
    """Tags for every run: seed, data, versions, commit, user, script and Ray job."""
    tags = {
        "seed": str(seed),
        "data_digest": data_digest,
        "world_size": str(world_size),
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
    }
    for package in ("protray", "torch", "ray", "transformers"):
        try:
            tags[f"version.{package}"] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # protray itself, where only the folder was shipped
            from protray import __version__

            tags[f"version.{package}"] = __version__ if package == "protray" else "none"
    try:
        tags["mlflow.user"] = getpass.getuser()
    except (KeyError, OSError):  # a container whose user id has no name
        pass
    if commit := git_commit():
        tags["mlflow.source.git.commit"] = commit
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        tags["ray_job_id"] = sys.modules["ray"].get_runtime_context().get_job_id()
    return tags


def git_commit(folder: Path = Path(__file__).parent) -> str | None:
    """Commit that holds the running code, with ``-dirty`` where it was changed since; None outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        # An installed copy may lie in the virtual environment of another project's checkout: is this file tracked?
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
