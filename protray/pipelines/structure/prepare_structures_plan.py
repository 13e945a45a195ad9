"""What jobs/prepare_structures.py will do and about how long: parse the files, cluster the chains, write them."""

import lzma
import tarfile
import time
import zlib
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from protray.cluster.batch.parts import part_file
from protray.cluster.batch.parts_plan import LEAVES_OUT, Parsed, parts_lines, time_parts
from protray.cluster.health.estimate import Estimate, Trials, spread, tasks_stage
from protray.cluster.storage import remote
from protray.data import schemas
from protray.data.splits import read_clusters
from protray.data.structure_files import Source, find_sources, is_archive
from protray.data.structure_rows import StructureSettings
from protray.data.structures import FOLDER
from protray.pipelines.structure.prepare_structures import (
    PART_FILES,
    StructuresConfig,
    finished,
    parse_part,
    read_exclusions,
)
from protray.seq.msa import InputError
from protray.struct.io import is_structure

SOME = 256  # files, of which a trial takes as many as there is time for
BEGINNING_S, HELD = 4.0, 48  # of a packed archive: how long it is read, and files that are kept in memory
PACKED = (b"\x1f\x8b", b"\xfd7", b"BZ")  # how packed files begin


@dataclass(frozen=True)
class Files:
    """Some structure files for a trial, and the bytes of all."""

    items: list[dict]  # of `Source`, or name and content where a file lies in a packed archive
    sizes: list[int]  # of `items`
    all_sizes: list[int]
    about: bool = False


@remote.kept(skip=FOLDER)
def stages(config: StructuresConfig) -> Estimate:
    """What is missing in ``config.out``.

    Raises
    ------
    ValueError
        As the job itself does, for input or a folder of no use.
    """
    if finished(config):
        return Estimate()
    if config.split_by:
        read_clusters(config.split_by)
    for path in config.exclude:
        read_exclusions(path)
    parsed = config.out / "parsed"
    files = find_files(config.structures, parsed)
    if not files.items:
        raise ValueError(f"{config.structures} holds no structure file")
    done = sum(part_file(parsed, part).exists() for part in range(-(-len(files.all_sizes) // PART_FILES)))
    with Trials(config.out) as trials:
        found = time_files(trials, files, config.chains)
        lines = parts_lines(
            trials, found, "files", files.all_sizes, done, PART_FILES, clusters=config.split_by is None,
            about=files.about,
        )  # fmt: skip
        more = "; relatives of --exclude" if config.exclude else ""
        return trials.estimate(lines, LEAVES_OUT + more)


def time_files(trials: Trials, files: Files, settings: StructureSettings) -> list[Parsed]:
    """Parse some of the files, and write their chains, in a folder that is removed."""
    parse = parse_contents if "content" in files.items[0] else parse_part
    stage = tasks_stage("parse", trials.cluster, -(-len(files.all_sizes) // PART_FILES))
    timing = partial(time_parts, settings=settings)
    return trials.run(stage, 1, timing, parse, files.items, files.sizes, schemas.STRUCTURES)


def find_files(structures: Path, parsed: Path) -> Files:
    """The files that a path of --structures means; of a packed archive that is not unpacked yet, the beginning."""
    if structures.is_file() and is_archive(structures) and not (parsed / "archive.tar").exists():
        with structures.open("rb") as file:
            packed = file.read(2) in PACKED
        if packed:
            return _beginning(structures)
    sources, _ = find_sources(structures, parsed)
    all_sizes = [source.size or Path(source.path).stat().st_size for source in sources]
    chosen = spread(len(sources), SOME)
    return Files([asdict(sources[row]) for row in chosen], [all_sizes[row] for row in chosen], all_sizes)


def parse_contents(piece: dict, folder: Path, settings: StructureSettings) -> None:
    """Parse files that came along in memory, as from a folder."""
    items = []
    for number, item in enumerate(piece["items"]):
        path = folder / f"{piece['part']}-{number}-{PurePosixPath(item['name']).name}"
        path.write_bytes(item["content"])
        items.append(asdict(Source(item["name"], str(path))))
    parse_part(piece | {"items": items}, folder, settings)


def _beginning(archive: Path) -> Files:
    """What the first seconds of an archive hold."""
    items: list[dict] = []
    sizes: list[int] = []
    deadline, whole = time.monotonic() + BEGINNING_S, True
    try:
        with archive.open("rb") as packed, tarfile.open(fileobj=packed, mode="r|*") as tar:
            for member in tar:
                if member.isreg() and is_structure(member.name):
                    sizes.append(member.size)
                    file = tar.extractfile(member) if len(items) < HELD else None
                    if file:
                        items.append({"name": member.name, "content": file.read()})
                if time.monotonic() > deadline:
                    whole = False
                    break
            share = 1.0 if whole else packed.tell() / archive.stat().st_size
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise InputError(archive, None, f"the archive cannot be read: {error}") from error
    count = round(len(sizes) / share)
    mean = sum(sizes) // max(len(sizes), 1)
    return Files(items, sizes[: len(items)], sizes + [mean] * (count - len(sizes)), about=not whole)
