"""What the predictor of secondary structure in the package learnt from.  Run once; kept as its provenance.

    python protray/data/sample/build_predictor.py --shared ../shared/data --out data/full

Writes ``OUT/msas`` (the alignments that are there), ``OUT/labels.3line``, ``OUT/clusters.tsv`` (with the splits),
``OUT/chains.fasta`` and ``OUT/families.fasta`` (queries to be aligned) and ``OUT/database.fasta``.  The validation
split is the sample's and 300 more clusters; the test split is the sample's.

What came next: alignments of the queries in the database, as jobs/search.py makes them, but with 1,000 candidates for
each query (MMseqs2's ``--max-seqs``) and for the first 8,000 families; jobs/prepare.py, the families with
``--max-rows 192``; jobs/distil.py as in predictor/README.md.
"""

import argparse
import lzma
import random
import tarfile
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq

from protray.data.sample import SAMPLE
from protray.seq.alphabet import AMINO_ACIDS
from protray.seq.fasta import Source, stream_fasta
from protray.seq.programs import run_program
from protray.seq.search import mmseqs

SEED = 0
MORE_VALIDATION = 300  # clusters
PER_CLUSTER = 3  # training chains
LENGTHS = range(40, 501)  # residues of the chains that are to be aligned
FAMILY_LENGTHS = range(50, 301)
LARGE, EACH, CANDIDATES = 8, 5, 33_000  # members of a cluster of families; how many of them are taken; in all
RELATED = ("-s", 5.7, "-e", 1e-3, "--max-seqs", 5000)  # to chains of validation and test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_chains(given.shared / "pdb", given.out)
    write_sequences(given.shared, given.out)
    write_families(given.out)


def write_chains(pdb: Path, out: Path) -> None:
    """Labelled chains with their splits, the alignments of some, the sequences of the others; and the held-out ones."""
    chains = pq.read_table(pdb / "chains.parquet", columns=["id", "sequence", "ss8", "cluster25"]).to_pylist()
    split_of = {row["cluster"]: row["split"] for row in pq.read_table(SAMPLE, columns=["cluster", "split"]).to_pylist()}
    aligned = unpack(pdb / "msas.tar.xz", out / "msas")
    members: dict[str, list[dict]] = defaultdict(list)
    for chain in chains:
        members[chain["cluster25"]].append(chain)
    draw = random.Random(SEED)
    free = sorted(
        name for name, of in members.items() if name not in split_of and any(chain["id"] in aligned for chain in of)
    )
    split_of |= dict.fromkeys(draw.sample(free, MORE_VALIDATION), "validation")
    chosen: list[tuple[dict, str]] = []
    for name in sorted(members):
        chosen += [(chain, name) for chain in members_of(members[name], aligned, split_of.get(name, "train"), draw)]
    lines = [f"{chain['id']}\t{name}\t{split_of.get(name, 'train')}\n" for chain, name in chosen]
    (out / "clusters.tsv").write_text("id\tcluster\tsplit\n" + "".join(lines))
    (out / "labels.3line").write_text("".join(f">{c['id']}\n{c['sequence']}\n{c['ss8']}\n" for c, _ in chosen))
    write_fasta(out / "chains.fasta", {c["id"]: c["sequence"] for c, _ in chosen if c["id"] not in aligned})
    held = [c for name, of in members.items() if split_of.get(name) in ("validation", "test") for c in of]
    write_fasta(out / "held.fasta", {c["id"]: c["sequence"] for c in held})


def members_of(chains: list[dict], aligned: set[str], split: str, draw: random.Random) -> list[dict]:
    """The chain of a cluster that has an alignment; in the training split others, too, of other sequences."""
    mine = [chain for chain in chains if chain["id"] in aligned]
    if split != "train":
        return mine
    others = [c for c in chains if c["id"] not in aligned and len(c["sequence"]) in LENGTHS]
    others.sort(key=lambda chain: chain["id"])
    draw.shuffle(others)
    seen = {chain["sequence"] for chain in mine}
    for chain in others:
        if len(mine) < PER_CLUSTER and chain["sequence"] not in seen:
            seen.add(chain["sequence"])
            mine.append(chain)
    return mine


def unpack(archive: Path, folder: Path) -> set[str]:
    """Write the alignments of an archive; returns their ids."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith(".a3m") and (file := tar.extractfile(member)):
                (folder / Path(member.name).name).write_bytes(file.read())
    return {file.stem for file in folder.glob("*.a3m")}


def write_sequences(shared: Path, out: Path) -> None:
    """``natural.fasta``, of UniProt, and ``database.fasta``, with the chains beside them."""
    with (out / "natural.fasta").open("wb") as file:
        for name in ("swissprot", "uniprot_more"):
            file.write(lzma.open(shared / "sequences" / f"{name}.fasta.xz").read())
    chains = pq.read_table(shared / "pdb" / "chains.parquet", columns=["id", "sequence"]).to_pylist()
    distinct: dict[str, str] = {}
    for chain in chains:
        distinct.setdefault(chain["sequence"], f"pdb_{chain['id']}")
    write_fasta(out / "database.fasta", {name: sequence for sequence, name in distinct.items()})
    chains_only = (out / "database.fasta").read_bytes()
    (out / "database.fasta").write_bytes((out / "natural.fasta").read_bytes() + chains_only)


def write_families(out: Path) -> None:
    """Some members of each large cluster of natural sequences, without relatives of the held-out chains."""
    letters = set(AMINO_ACIDS)
    found = {
        one.id: one.sequence for one in stream_fasta(out / "natural.fasta") if isinstance(one, Source) and one.sequence
    }
    fitting = {id: text for id, text in found.items() if len(text) in FAMILY_LENGTHS and set(text) <= letters}
    write_fasta(out / "short.fasta", fitting)
    run_program(
        mmseqs(), "easy-linclust", out / "short.fasta", out / "lin", out / "tmp", "--min-seq-id", 0.3, "-c", 0.7
    )
    members: dict[str, list[str]] = defaultdict(list)
    for line in (out / "lin_cluster.tsv").read_text().splitlines():
        representative, member = line.split("\t")
        members[representative].append(member)
    draw = random.Random(SEED)
    chosen = [
        id for name in sorted(members) if len(members[name]) >= LARGE for id in draw.sample(sorted(members[name]), EACH)
    ]
    draw.shuffle(chosen)
    write_fasta(out / "candidates.fasta", {id: fitting[id] for id in chosen[:CANDIDATES]})
    run_program(
        mmseqs(), "easy-search", out / "held.fasta", out / "candidates.fasta", out / "held.m8", out / "tmp", *RELATED
    )
    related = {line.split("\t")[1] for line in (out / "held.m8").read_text().splitlines()}
    write_fasta(out / "families.fasta", {id: fitting[id] for id in chosen[:CANDIDATES] if id not in related})


def write_fasta(path: Path, sequences: dict[str, str]) -> None:
    path.write_text("".join(f">{id}\n{sequence}\n" for id, sequence in sequences.items()))


if __name__ == "__main__":
    main()
