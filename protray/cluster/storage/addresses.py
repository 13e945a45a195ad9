"""Options that are addresses, ``s3://bucket/runs/mine``, and the folders in which a node works on what lies there.

Every node has a mirror of an address: ``protray-mirror/s3/bucket/runs/mine`` in ``$PROTRAY_CACHE`` (default:
``~/.cache/protray``).  A path in a mirror tells its address, whatever node it comes from; `storage.remote`
copies between the two.
"""

import os
import re
from pathlib import Path

from protray.cluster.tracking.run_info import redact

MIRROR = "protray-mirror"
SCHEMES = ("s3", "gs")
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.IGNORECASE)
_SHOWN = re.compile(rf"[^\s'\"]*/{MIRROR}/({'|'.join(SCHEMES)})/|\b({'|'.join(SCHEMES)}):/(?=\w)")


def root() -> Path:
    """Where this node has its mirrors."""
    return Path(os.environ.get("PROTRAY_CACHE") or Path.home() / ".cache" / "protray").absolute() / MIRROR


def is_address(path: Path) -> bool:
    """Whether an option is an address; pathlib has made one slash of two."""
    return _split(path) is not None


def located(path: Path) -> Path:
    """The mirror of an address, every other path as it is; ValueError for an address that cannot be used."""
    found = _split(path)
    if not found:
        return path
    scheme, rest = found[1].lower(), found[2]
    shown = redact(f"{found[1]}://{rest}")
    if scheme not in SCHEMES:
        known = " and ".join(f"{name}://" for name in SCHEMES)
        raise ValueError(f"{shown}: protray knows folders and the addresses {known}")
    if "@" in rest.partition("/")[0] or "?" in rest:
        raise ValueError(
            f"{shown}: an address names a bucket and a folder in it; credentials, region and endpoint come from the "
            "environment of all nodes (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, ...)"
        )
    parts = [part for part in rest.split("/") if part]
    if len(parts) < 2 or ".." in parts:
        raise ValueError(f"{shown}: expected a bucket and a folder in it, such as {scheme}://bucket/runs/mine")
    return root().joinpath(scheme, *parts)


def _split(path: Path) -> re.Match[str] | None:
    """Scheme and the rest of an address; of ``s3://`` pathlib leaves ``s3:``."""
    text = str(path)
    return _ADDRESS.fullmatch(text + "/" if text.rstrip(":") in SCHEMES and text.endswith(":") else text)


def uri_of(path: Path) -> str | None:
    """The address of a path in a mirror, of this node or another; None for every other path."""
    if MIRROR not in path.parts:
        return None
    scheme, *rest = path.parts[path.parts.index(MIRROR) + 1 :]
    return f"{scheme}://{'/'.join(rest)}"


def here(path: Path) -> Path:
    """The same path in this node's mirror."""
    return path if MIRROR not in path.parts else root().joinpath(*path.parts[path.parts.index(MIRROR) + 1 :])


def named(text: object) -> str:
    """A text in which paths in mirrors, and addresses that pathlib has shortened, are addresses again."""
    return _SHOWN.sub(lambda found: f"{found[1] or found[2]}://", str(text).replace(f"{root()}/", f"/{MIRROR}/"))
