"""A job whose rows are words of a text file, which are turned round; some words are trouble."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from protray.cluster.batch.command import batch_command
from protray.cluster.batch.job import BatchJob, BatchSettings, Done, Row, Settled, Span
from protray.cluster.storage.identity import content_digest
from protray.data.location import Location
from protray.seq.errors import InputError

SOURCE = pa.struct([("id", pa.string()), ("word", pa.string()), ("file", pa.string()), ("line", pa.int64())])
SCHEMA = pa.schema([("id", pa.string()), ("turned", pa.string())])
LONG = 8  # letters that are worth an item of their own


@dataclass(frozen=True, kw_only=True)
class Toy(BatchSettings):
    text: Location
    """One word a line: an id, then a word."""
    notes: Location
    """Every word that is worked on is written down here, in a file of its process."""
    upper: bool = False
    first: int | None = None
    """So many words are turned; who comes to the next waits for the end of its process."""

    @property
    def mended(self) -> bool:
        """Whether the machine is as it should be."""
        return (self.notes / "mended").is_file()


def write_words(folder: Path, words: dict[str, str]) -> Toy:
    (folder / "notes").mkdir(exist_ok=True)
    (folder / "text").write_text("".join(f"{name} {word}\n" for name, word in words.items()))
    return Toy(text=Location(folder / "text"), notes=Location(folder / "notes"), out=Location(folder / "out"))


def worked_on(run: Toy) -> Counter[str]:
    return Counter(word for file in run.notes.files("pid-*") for word in file.path.read_text().split())


def rows(run: Toy) -> Iterator[Row | InputError]:
    for line, text in enumerate(run.text.path.read_text().splitlines(), start=1):
        name, word = text.split()
        if word.isalpha():
            yield {"id": name, "word": word, "file": str(run.text), "line": line}
        else:
            yield InputError(run.text, line, f"{word!r} is no word", name)


def work(run: Toy, spans: list[Span]) -> Done:
    rows, rejected, again = [], [], []
    for span in spans:
        word = span.row["word"]
        with open(run.notes / f"pid-{os.getpid()}", "a") as file:
            file.write(word + "\n")
        if word == "disk" and worked_on(run)["disk"] <= 2:
            raise OSError(5, "Input/output error", "/nfs/disk")
        if word == "once" and worked_on(run)["once"] == 1:
            os._exit(1)
        if not run.mended:
            misbehave(word)
        if run.first is not None and span.number >= run.first:
            time.sleep(3600)
        if word == "never":
            rejected.append(InputError(span.row["file"], span.row["line"], "is never done", span.row["id"]))
        elif word == "big" and not run.mended:
            again.append((span, "out of memory"))
        else:
            part = word[span.start : span.stop or len(word)][::-1]
            rows.append((span.number, span.start, span.row["id"], part.upper() if run.upper else part))
    names = [("number", pa.int64()), ("start", pa.int32()), *((field.name, field.type) for field in SCHEMA)]
    columns = {name: pa.array([row[at] for row in rows], kind) for at, (name, kind) in enumerate(names)}
    return Done(pa.table(columns), rejected, again, Counter(words=len(rows)))


def misbehave(word: str) -> None:
    if word == "die":
        os._exit(1)
    if word == "odd":
        raise KeyError("odd")
    if word == "full":
        raise OSError(28, "No space left on device")


def cut(run: Toy, row: Row, seconds: float) -> list[tuple[int, int]]:
    return [(start, start + LONG) for start in range(0, len(row["word"]), LONG)]


def merge(table: pa.Table) -> pa.Table:
    """Spans of a word are turned one by one, so the last comes first."""
    whole: dict[int, dict] = {}
    for row in table.to_pylist():
        if row["number"] in whole:
            whole[row["number"]]["turned"] = row["turned"] + whole[row["number"]]["turned"]
        else:
            whole[row["number"]] = row
    return pa.Table.from_pylist(list(whole.values()), schema=table.schema)


def open_toy(run: Toy, device: str) -> Toy:
    if (run.notes / "refuse").is_file():
        raise ValueError("such words cannot be turned")
    return run


def identity(run: Toy) -> dict:
    return {"words": content_digest([run.text]), "upper": run.upper}


def cost(run: Toy, row: Row) -> float:
    return 1.0 if len(row["word"]) <= LONG else len(row["word"]) / 2


JOB = BatchJob(
    name="turning", unit="words", table="turned", source=SOURCE, identity=identity, rows=rows, cost=cost, open=open_toy,
    work=work, schema=lambda run: SCHEMA, cut=cut, merge=merge,
)  # fmt: skip


def settle(run: Toy, names: pa.Table) -> Settled:
    """Every word is told the first with its first letter; those that begin with z are left out."""
    first: dict[str, str] = {}
    kept, rejected = [], []
    for row in names.to_pylist():
        if row["turned"].endswith("z"):
            rejected.append(InputError("text", None, "begins with z", row["id"]))
        else:
            like = first.setdefault(row["turned"][-1], row["id"])
            kept.append({"number": row["number"], "start": row["start"], "like": like})
    return Settled(pa.Table.from_pylist(kept), rejected, {"n_letters": len(first)})


SETTLING = BatchJob(
    name="turning", unit="words", table="turned", source=SOURCE, identity=identity, rows=rows, cost=cost, open=open_toy,
    work=work, schema=lambda run: SCHEMA.append(pa.field("like", pa.string())), names=("id", "turned"), settle=settle,
    conclude=lambda run, files, summary: {"files": [file.name for file in files], "twice": 2 * summary["n_rows"]},
)  # fmt: skip


if __name__ == "__main__":
    sys.exit(batch_command(JOB, Toy, "turn words round"))
