"""Embeddings of many proteins: structures by a score network or a joint encoder, sequences by a language model.

``OUT/embeddings/*.parquet``  ``schemas.EMBEDDINGS`` or ``PAIR_EMBEDDINGS``, in the order of the input

A row of the input is a chain of a dataset, a structure file with any number of chains, or a record of a FASTA file.
Structures are read where they are worked on; the driver lists files, and the ids and lengths of a dataset's chains.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa

from protray.cluster.batch.job import Amount, BatchJob, BatchSettings, Done, Row, Settled, Span
from protray.cluster.storage.identity import content_digest
from protray.data import schemas
from protray.data.embeddings import FOLDER, Level, embedding_schema
from protray.data.location import Location
from protray.data.structure.rows import StructureSettings
from protray.data.structure.structures import FOLDER as STRUCTURES
from protray.models.joint.shipped import ENCODER
from protray.pipelines.structure import inputs
from protray.plm.reading import SPECIAL_TOKENS
from protray.plm.shipped import SHIPPED, fingerprint, seconds_per_token, weight_bytes
from protray.seq.errors import InputError

if TYPE_CHECKING:
    from protray.inference.embeddings.many import Chain, ChainEmbedder

ANY_CHAIN = StructureSettings(min_residues=2, max_unknown=1.0)
WITH_SIDE_CHAINS = StructureSettings(min_residues=1, max_unknown=1.0, side_chains=True)
PER_PAIR_S = 2e-6  # of a core with the default score network, about
PER_RESIDUE_S = 1e-4  # of a core with the default joint encoder, about
MEMORY = 1 << 30  # bytes of an actor: Python, PyTorch, the strips of a chain of some thousand residues


@dataclass(frozen=True, kw_only=True)
class Embed(BatchSettings):
    """What to embed with what."""

    model: Location | None = None
    """The folder `model` of a finished jobs/score_net.py or jobs/ssdm.py run, or its address.  Default: the joint
    encoder in the package."""
    lm: str | None = None
    """In its place: a protein language model, by Hugging Face name or folder, or `shipped`."""
    structures: tuple[Location, ...] = ()
    """A dataset of jobs/prepare_structures.py; or mmCIF/PDB files (plain or .gz), folders, tar archives, text lists of
    files.  Default: the bundled sample."""
    fasta: Location | None = None
    """For a language model (default: that in the package): sequences, plain, .gz, .xz or .bz2; no structures."""
    level: Level = "protein"
    """One vector for each protein, residue, or (of a score network) pair of residues."""
    noise: float = 1.0
    """Å: a score network is told its noise level nearest to this; structures are read as they are."""

    def __post_init__(self) -> None:
        if self.fasta and self.model is None and self.lm is None:
            object.__setattr__(self, "lm", SHIPPED)

    @cached_property
    def is_score_net(self) -> bool:
        from protray.training.structure.ssdm_export import is_ssdm

        return self.network is not None and not is_ssdm(self.network)

    @cached_property
    def reads(self) -> str | None:
        """The language model that reads sequences, alone or in a fusion."""
        from protray.training.structure.ssdm_export import fused_lm

        return fused_lm(self.network) if self.network else self.lm

    @property
    def network(self) -> Location | None:
        """Of the model of structures; None where a language model reads sequences."""
        return self.model or (Location(ENCODER) if self.lm is None else None)


def identity(run: Embed) -> dict:
    if run.model is not None and run.lm is not None:
        raise ValueError("--model and --lm exclude each other: a model of structures, or a language model")
    if run.fasta and (run.structures or run.lm is None):
        raise ValueError("--fasta goes without --model and --structures: a model of structures reads these alone")
    if run.level == "pair" and not run.is_score_net:
        raise ValueError("--level pair needs a score network; a joint encoder and a language model have no pairs")
    open_net(run, "cpu")  # once here, where an error is short
    found = {"structures": _digests(run), "level": run.level}
    if run.lm is not None:
        return found | {"lm": fingerprint(run.lm)}
    assert run.network
    return found | {"model": fingerprint(str(run.network.fetch()))} | ({"noise": run.noise} if run.is_score_net else {})


def _digests(run: Embed) -> list[str]:
    """What identifies the content of each path of --structures, or of --fasta."""
    if (tables := _tables_of(run)) is None:
        return inputs.digests(run, run.structures, run.fasta)
    if run.structures:
        facts = (run.structures[0] / "dataset.json").read_json()
        return [facts.get("digest") or content_digest(tables, run.structures[0])]
    return ["the bundled sample"]


def _tables_of(run: Embed) -> list[Location] | None:
    """The tables of a dataset; None where files are given."""
    from protray.data.sample import FULL_ATOM, SAMPLE
    from protray.data.secondary.dataset import parquet_files

    if run.fasta:
        return None
    if not run.structures:
        return [Location(SAMPLE)] if run.is_score_net else [Location(SAMPLE), Location(FULL_ATOM)]
    datasets = [path for path in run.structures if (path / "dataset.json").is_file()]
    if datasets and len(run.structures) > 1:
        raise ValueError(f"--structures takes one dataset, or files; got {len(run.structures)} paths with a dataset")
    return parquet_files(datasets[0] / STRUCTURES) if datasets else None


def rows(run: Embed) -> Iterator[Row | InputError]:
    """Chains of a dataset, or files, with an error for each that is none; with --plan nothing is unpacked."""
    if run.fasta:
        return inputs.record_rows([run.fasta.path])
    if (tables := _tables_of(run)) is not None:
        return (row for table in tables for row in inputs.table_rows(table))
    return inputs.file_rows(run, run.structures)


def cost(run: Embed, row: Row) -> float:
    """Of a file as if it were one chain."""
    return reading_seconds(inputs.length_of(row), run.reads, run.network is not None, run.is_score_net)


def reading_seconds(length: float, lm: str | None, of_structures: bool, by_pairs: bool) -> float:
    """Of a core, about: by residues of what language model and joint encoder read, by pairs of a score network."""
    length = max(length, 1)
    of_text = (length + SPECIAL_TOKENS) * seconds_per_token(lm) if lm else 0.0
    if not of_structures:
        return of_text
    return of_text + (PER_PAIR_S * length**2 if by_pairs else PER_RESIDUE_S * length)


def amount(run: Embed) -> Amount:
    """All chains, or all files; of a packed archive, as its beginning tells."""
    if run.fasta or _tables_of(run) is not None:
        return inputs.amount_of(run, (), rows(run), cost)
    told = "files are counted, each as if it were one chain"
    return inputs.amount_of(run, run.structures, rows(run), cost, exact=False, note=told)


def memory(run: Embed) -> int:
    """Weights are there twice while they are read."""
    if run.lm is not None:
        return MEMORY + 2 * weight_bytes(run.lm)
    assert run.network
    return MEMORY + 2 * sum(run.network.sizes("*.safetensors").values())  # a fusion's language model included


def open_net(run: Embed, device: str) -> "tuple[Embed, ChainEmbedder]":
    import torch

    from protray.inference.embeddings.many import SequenceAlone
    from protray.inference.embeddings.score_net import Embedder
    from protray.inference.embeddings.structure_encoder import StructureEncoder

    if run.lm is not None:
        return run, SequenceAlone.open(run.lm, device)
    assert run.network
    if not run.is_score_net:
        return run, StructureEncoder.open(run.network, device)
    torch.backends.cudnn.allow_tf32 = False  # convolutions on a GPU would have 10 bits
    return run, Embedder.open(run.network, run.noise, device)


def work(opened: "tuple[Embed, ChainEmbedder]", spans: list[Span]) -> Done:
    """Embeddings, one chain in memory at a time, and of its pairs some rows.

    Running out of memory is no fault of a chain: the spans are tried alone.
    """
    from protray.data.arrow import spooled
    from protray.inference.embeddings.many import embeddings

    run, embedder = opened
    rejected: list[InputError] = []
    found = (
        ({"number": span.number, "chain": number, "file": file}, chain)
        for span in spans
        for number, (chain, file) in enumerate(_chains(run, span.row, rejected))
    )
    return Done(spooled(embeddings(embedder, run.level, found, rejected)), rejected)


def _chains(run: Embed, row: Row, rejected: list[InputError]) -> "Iterator[tuple[Chain, str]]":
    """The chains of a row of the input, and the file that each is from."""
    from protray.data.structure.atoms import atom_chains_in
    from protray.data.structure.structures import chains_in
    from protray.inference.embeddings.many import Record

    if row["sequence"] is not None:
        yield Record(row["id"], row["sequence"]), row["file"]
        return
    read, settings = (chains_in, ANY_CHAIN) if run.is_score_net else (atom_chains_in, WITH_SIDE_CHAINS)
    if row["path"] is None:
        yield read(_group(row["file"], row["group"]).slice(row["row"], 1))[0], row["file"]
        return
    for one in inputs.chains_of(row, settings, rejected):
        yield read(pa.Table.from_pylist([one], schema=schemas.STRUCTURES))[0], one["source"]


@lru_cache(maxsize=1)
def _group(file: str, group: int) -> pa.Table:
    """A row group of a dataset, for all chains that follow in it."""
    from protray.data.structure.atoms import WHERE_STORED
    from protray.data.structure.structures import read_group

    return read_group(Location(file), group, WHERE_STORED)


def settle(run: Embed, found: pa.Table) -> Settled:
    """Keep the chains that are whole, and of several with one id the first."""
    found = found.sort_by([("number", "ascending"), ("start", "ascending")])
    kept: dict[str, tuple[int, int]] = {}
    rejected = []
    keys = list(zip(found["number"].to_pylist(), found["chain"].to_pylist(), strict=True))
    ids = found["id"].to_pylist()
    for row, (id, last) in enumerate(zip(ids, found["last"].to_pylist(), strict=True)):
        if last and id in kept:
            reason = f"id {id!r} is also that of a chain before it, which is kept; rename its file"
            rejected.append(InputError(found["file"][row].as_py(), None, reason, id))
        elif last:
            kept[id] = keys[row]
    stays = pa.array([kept.get(id) == key for id, key in zip(ids, keys, strict=True)], pa.bool_())
    return Settled(found.select(["number", "start"]).filter(stays), rejected, {})


def finish(table: pa.Table) -> pa.Table:
    """`start` becomes the residue of the chain."""
    return table.set_column(table.schema.get_field_index("start"), "start", table["residue"])


def schema(run: Embed) -> pa.Schema:
    return embedding_schema(run.level, open_net(run, "cpu")[1].channels)


def shown(run: Embed, summary: dict) -> dict[str, object]:
    if run.network is None:
        return {"model": f"language model {'in the package' if run.lm == SHIPPED else run.lm}"}
    return {"model": run.model or "the joint encoder in the package"}


JOB = BatchJob(
    name="embed", unit="chains", table=FOLDER, source=inputs.SOURCE, identity=identity, rows=rows, cost=cost,
    open=open_net, work=work, schema=schema, memory=memory, finish=finish, names=("id", "file", "chain", "last"),
    settle=settle, amount=amount, shown=shown,
)  # fmt: skip
