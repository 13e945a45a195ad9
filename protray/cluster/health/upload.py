"""How much `ray job submit --working-dir` sends."""

import logging
from collections import Counter
from pathlib import Path


def upload_sizes(folder: Path) -> dict[str, int] | None:
    """Bytes that Ray would send for each entry of `folder`; None if this version of Ray does not tell.

    Ray itself walks the folder, so .gitignore and .rayignore count as they do in an upload.  Its package is not
    compressed, and therefore as large as the files.

    Raises
    ------
    ValueError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"--working-dir {folder} is no folder")
    try:
        from ray._private.ray_constants import get_runtime_env_default_excludes
        from ray._private.runtime_env.packaging import _dir_travel, _get_excludes
    except ImportError:  # private
        return None
    root = folder.resolve()
    sizes: Counter[str] = Counter()

    def add(path: Path) -> None:
        if path.is_file():
            sizes[path.relative_to(root).parts[0]] += path.stat().st_size

    quiet = logging.Logger("upload", logging.ERROR)  # Ray names every ignore file
    excludes = [_get_excludes(root, get_runtime_env_default_excludes())]
    _dir_travel(root, excludes, add, include_gitignore=True, logger=quiet)
    return dict(sizes)
