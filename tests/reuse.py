"""Runs that begin with what another run has made, so that a test computes only what it is about."""

import shutil

from protray.data.location import Location


def begin_with(made: Location, out: Location, *parts: str) -> Location:
    """Copy files and folders of a finished run to another folder, which is returned; `parts` may have wild cards."""
    for pattern in parts:
        for source in made.path.glob(pattern):
            target = out.path / source.relative_to(made.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    return out
