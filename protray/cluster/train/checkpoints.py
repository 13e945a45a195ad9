"""The checkpoints of a training run: numbered folders, of which the newest that is whole is the one to go on from.

Ray keeps a list of them in a file that it writes in place.  A kill or a full disk at the wrong moment leaves half a
list, with which Ray starts no more; so the folders themselves are what counts, and such a list is removed.
"""

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs
from ray.train import Checkpoint

from protray.data.location import Location
from protray.training.checkpoint import DamagedCheckpointError, load_state

log = logging.getLogger(__name__)

NUMBERED = re.compile(r"checkpoint-(\d+)")
LIST = "checkpoint_manager_snapshot.json"


@dataclass(frozen=True)
class Checkpoints:
    """Those of the run `name` in `storage`."""

    storage: Location
    name: str

    def numbers(self) -> list[int]:
        """Numbers of all of them, the newest first."""
        files, folder = self._place()
        # with all that is in them: gs:// has no folders as such
        below = files.get_file_info(pyarrow.fs.FileSelector(folder, recursive=True, allow_not_found=True))
        names = {entry.path[len(folder) + 1 :].partition("/")[0] for entry in below}
        return sorted((int(match[1]) for name in names if (match := NUMBERED.fullmatch(name))), reverse=True)

    def load(self, number: int) -> dict:
        """The state in checkpoint `number`."""
        files, folder = self._place()
        with Checkpoint(f"{folder}/{folder_name(number)}", files).as_directory() as local:
            return load_state(Path(local))

    def newest(self) -> tuple[int, dict | None]:
        """Number and state of the newest that is whole; (0, None) if there is none at all.

        Raises
        ------
        DamagedCheckpointError
            If there are some, and all are damaged.
        """
        numbers = self.numbers()
        for number in numbers:
            try:
                return number, self.load(number)
            except DamagedCheckpointError as error:
                log.warning("damaged checkpoint, the one before is taken: %s", error)
        if numbers:
            files, folder = self._place()
            told = f"all {len(numbers)} checkpoints in {folder} are damaged; delete it to train anew"
            raise DamagedCheckpointError(told)
        return 0, None

    def forget_broken_list(self) -> None:
        """Remove Ray's list of checkpoints if it cannot be read, or names one that is not there."""
        files, folder = self._place()
        path = f"{folder}/{LIST}"
        if files.get_file_info(path).type == pyarrow.fs.FileType.NotFound:
            return
        with files.open_input_stream(path) as stream:
            text = stream.read()
        try:
            listed = {entry["checkpoint_dir_name"] for entry in json.loads(text)["checkpoint_results"]}
        except (ValueError, LookupError, TypeError):
            listed = {""}
        if not listed <= {folder_name(number) for number in self.numbers()}:
            log.warning("%s is broken and removed; the checkpoints beside it are still there", path)
            files.delete_file(path)

    def _place(self) -> tuple[pyarrow.fs.FileSystem, str]:
        files, folder = pyarrow.fs.FileSystem.from_uri(self.storage)
        return files, f"{folder.rstrip('/')}/{self.name}"


def folder_name(number: int) -> str:
    return f"checkpoint-{number:06d}"
