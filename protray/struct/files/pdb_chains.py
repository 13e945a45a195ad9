"""Tell the chains of a PDB file apart where their names do not.

Names fail where a chain's column is blank (the segment may name it, or TER lines alone part chains), and where files
were put together (`cat`) or symmetry copies kept their name.  A new chain begins

- at another segment (columns 73-76), if the chain's column is blank;
- after TER, unless the residue can be the next of the same chain: TER also stands where residues are missing.  With a
  blank column it then has to be the very next;
- at a residue that the chain has already.

A chain that lies where one of the same residues does is a copy of it, as in an ensemble without MODEL lines.
Such chains get names for gemmi that the file has not (`told_apart`).

Shape key:  L residues   3 x, y, z in Å
"""

import re
from dataclasses import dataclass, field
from itertools import count, product
from operator import itemgetter

import numpy as np

from protray.seq.errors import InputError
from protray.struct.files.locations import BETWEEN_LOCATIONS
from protray.struct.files.pdb_alphas import Run, find_alphas
from protray.struct.files.pdb_columns import SHORTEST
from protray.struct.residues.breaks import MAX_CA_STEP

SPAN = 4.0  # Å: the most that each residue of a stretch adds to its length
SAME_PLACE = 5.0  # Å, median of C-alpha atoms of one residue: less between the models of an ensemble
_CODES = [a + b for a, b in product(bytes(range(126, 32, -1)).decode(), repeat=2)]  # names that few files have
_END = re.compile(rb"\nEND *(?=\n)")
_CHAIN = re.compile(rb"(?m)^((?:ATOM|HETA|ANIS)[^\n]{16})[^\n]{2}")


@dataclass(frozen=True)
class Told:
    """A PDB file's text in which names tell chains apart; `names` of those that were given another, by that; copies."""

    text: bytes
    names: dict[str, str]
    has_locations: bool  # whether any atom has an alternate location
    added: int = 0  # chains that had the name of another
    copies: int = 0


@dataclass
class _Part:
    """A chain: stretches of text from the first atom of a residue to the end of another."""

    name: bytes
    lines: list[bytes] = field(default_factory=list)  # of C-alpha atoms
    seen: set[bytes] = field(default_factory=set)
    spans: list[tuple[int, int]] = field(default_factory=list)
    ended: bool = False
    file: int = 0


def told_apart(text: bytes, source: str) -> Told:
    """Give chains of one name names of their own; `text` begins and ends with a line end.

    Raises
    ------
    InputError
        If two residues that follow each other have one name and number: gemmi would read them as one.
    """
    alphas = find_alphas(text)
    if alphas.names_suffice():
        return Told(text, {}, alphas.has_locations)
    runs = list(alphas.runs(text))
    parts = _parts(text, runs, source)
    by_name: dict[bytes, list[_Part]] = {}
    for part in parts:
        by_name.setdefault(part.name, []).append(part)
    by_segment = any(len(name) > 2 for name in by_name)
    if not by_segment and all(len(same) == 1 for same in by_name.values()):
        return Told(_END.sub(b"", text) if runs and runs[-1].file else text, {}, alphas.has_locations)
    copies = {id(part) for same in by_name.values() for part in _copies(same)}
    taken = {name[:2].strip().decode("latin-1") for name in by_name}
    names: dict[str, str] = {}
    spans: list[tuple[int, int, bytes | None]] = []
    codes = iter([code.encode() for code in _CODES if code not in taken])
    if len(parts) > len(_CODES) - len(taken):
        raise InputError(source, None, f"{len(parts)} chains of {len(by_name)} names: split the file, or write mmCIF")
    for name, same in by_name.items():
        kept = [part for part in same if id(part) not in copies]
        label = name[2:].strip().decode("latin-1") or name.strip().decode("latin-1")
        for number, part in enumerate(kept):
            if len(kept) == 1 and len(name) == 2:
                continue
            code = name if number == 0 and len(name) == 2 else next(codes)  # what is left of a chain is with its first
            names[code.strip().decode("latin-1")] = _free(label, number, taken)
            spans += [(start, end, code) for start, end in part.spans]
        spans += [(start, end, None) for part in same if id(part) in copies for start, end in part.spans]
    added = len(parts) - len(by_name) - len(copies)
    return Told(_END.sub(b"", _with_codes(text, spans)), names, alphas.has_locations, added, len(copies))


def _parts(text: bytes, runs: list[Run], source: str) -> list[_Part]:
    parts: list[_Part] = []
    latest: dict[bytes, _Part] = {}
    for run in runs:
        lines = [text[start : start + SHORTEST] for start in run.starts]
        part = latest.get(run.name)
        begins = _residue_start(text, run.starts[0])
        if part and (part.ended or _key(lines[0]) in part.seen):
            if _is_ligand(lines, part):
                continue
            if part.ended and not _goes_on(part.lines[-1], lines[0]):
                part = None
        if part is None:
            part = latest[run.name] = _Part(run.name, file=run.file)
            parts.append(part)
        for start, line in zip(run.starts, lines, strict=True):
            if _key(line) not in part.seen:
                pass
            elif line[17:27] == part.lines[-1][17:27]:
                _check_place(line, part.lines[-1], text.count(b"\n", 0, start), source)
            elif line[22:27] != part.lines[-1][22:27]:
                here = _residue_start(text, start)
                if begins < here:
                    part.spans.append((begins, here))
                part, begins = _Part(run.name, file=run.file), here
                latest[run.name] = part
                parts.append(part)
            part.seen.add(_key(line))
            part.lines.append(line)
        part.spans.append((begins, _run_end(text, run.starts[-1])))
        part.ended = run.ended
    return parts


def _check_place(line: bytes, before: bytes, number: int, source: str) -> None:
    if np.linalg.norm(_place(line) - _place(before)) > BETWEEN_LOCATIONS:
        residue = b" ".join(line[17:27].split()).decode("latin-1")
        reason = f"a second C-alpha atom of residue {residue!r}, far from the first: number the residues anew"
        raise InputError(source, number, f"cannot be read as pdb: {reason}")


def _key(line: bytes) -> bytes:
    """Alternate location and number: what two residues of one chain cannot share, but for two types in one place."""
    return line[16:17] + line[22:27]


def _is_ligand(lines: list[bytes], chain: _Part) -> bool:
    """Amino acids after the end of their chain that are no chain: HETATM after ATOM, or one residue."""
    if len({line[22:27] for line in lines}) == 1:
        return True
    return all(line.startswith(b"HETATM") for line in lines) and any(line.startswith(b"ATOM") for line in chain.lines)


def _goes_on(last: bytes, first: bytes) -> bool:
    """Whether a residue after TER can belong to the chain before it."""
    try:
        jump = int(first[22:26]) - int(last[22:26])
    except ValueError:
        return False
    far = float(np.linalg.norm(_place(first) - _place(last)))
    if jump == 1 or (jump == 0 and first[26] != last[26]):
        return far <= MAX_CA_STEP
    return first[20:22] != b"  " and jump > 1 and far <= SPAN * jump + 0.5


def _copies(same: list[_Part]) -> list[_Part]:
    """Chains whose residues are in the same place already; after END, where frames follow, in about the same."""
    copies = []
    kept: dict[tuple[bytes, ...], list[tuple[np.ndarray, int]]] = {}
    for part in same:
        places_L3 = np.array([_place(line) for line in part.lines])
        others = kept.setdefault(tuple(line[17:27] for line in part.lines), [])
        if others:
            far = np.median(np.linalg.norm(np.stack([other_L3 for other_L3, _ in others]) - places_L3, axis=2), axis=1)
            size = float(np.sqrt(places_L3.var(axis=0).sum()))
            limits = [max(SAME_PLACE, size) if file < part.file else SAME_PLACE for _, file in others]
            if (far < limits).any():
                copies.append(part)
                continue
        others.append((places_L3, part.file))
    return copies


def _place(line: bytes) -> np.ndarray:
    return np.array([float(line[column : column + 8]) for column in (30, 38, 46)])


def _residue_start(text: bytes, start: int) -> int:
    """Where the lines of an atom's residue begin."""
    residue = text[start + 17 : start + 27]
    while start > 1:
        before = text.rfind(b"\n", 0, start - 1) + 1
        if text[before + 17 : before + 27] != residue or not text.startswith((b"ATOM", b"HETATM", b"ANISOU"), before):
            return start
        start = before
    return start


def _run_end(text: bytes, start: int) -> int:
    """Where the lines of an atom's chain end."""
    chain = text[start + 20 : start + 22]
    while True:
        start = text.index(b"\n", start) + 1
        if text[start + 20 : start + 22] != chain or not text.startswith((b"ATOM", b"HETATM", b"ANISOU"), start):
            return start


def _free(label: str, number: int, taken: set[str]) -> str:
    """A name for chain `number`, from 0, of those with one label: A, A-2, A-3, and 1, 2, 3 without a label."""
    if not label:
        names = (str(number + more + 1) for more in count())
    else:
        names = (label if number + more == 0 else f"{label}-{number + more + 1}" for more in count())
    found = next(name for name in names if name not in taken or (name == label and number == 0))
    taken.add(found)
    return found


def _with_codes(text: bytes, spans: list[tuple[int, int, bytes | None]]) -> bytes:
    """The text with other chain names in some stretches of it; without those of no name."""
    done, at = [], 0
    spans = sorted(spans, key=itemgetter(0))
    nexts = [start for start, _, _ in spans[1:]] + [len(text)]
    for (start, end, code), begins in zip(spans, nexts, strict=True):
        end = min(end, begins)  # a segment may follow without another sign
        done.append(text[at:start])
        if code:
            named = rb"\g<1>" + code.replace(b"\\", b"\\\\")
            done.append(_CHAIN.sub(named, text[start:end]))
        at = end
    return b"".join([*done, text[at:]])
