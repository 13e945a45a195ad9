"""Build ``sample.parquet``, the bundled sample, from the raw data.  Run once; kept as its provenance.

    python protray/data/sample/build.py --pdb ../shared/data/pdb

Reads ``chains.parquet`` and ``msas.tar.xz``: one A3M per 25 %-identity cluster, so the splits are disjoint by
construction.  Draws 1,000 chains of 50 to 128 residues with seed 0; short ones, because the language model's map of a
chain costs its length squared, and the sample has to finish within minutes on two CPU cores.
"""

import argparse
import random
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from protray.data.sample import SAMPLE, SCHEMA
from protray.seq.downsample import downsample
from protray.seq.keyed import generator
from protray.seq.msa import Msa, parse_msa

SEED = 0
LENGTHS = range(50, 129)  # residues
MAX_ROWS = 128  # of an alignment, query included; drawn without replacement
# Chains of each split by their number of homologs (from, to).  The test split leans to the shallow side, which it is
# there to measure.
STRATA = {
    "train": {(0, 0): 55, (1, 10): 85, (11, 60): 100, (61, 10**9): 400},
    "validation": {(0, 0): 25, (1, 10): 30, (11, 60): 30, (61, 10**9): 35},
    "test": {(0, 0): 60, (1, 10): 60, (11, 60): 55, (61, 10**9): 65},
}


def draw_splits(homologs: dict[str, int], lengths: dict[str, int]) -> dict[str, str]:
    """Choose chains at random within each stratum; returns id -> split."""
    pool = sorted(name for name in homologs if lengths[name] in LENGTHS)
    random.Random(SEED).shuffle(pool)
    split_of: dict[str, str] = {}
    for split, strata in STRATA.items():
        for (low, high), wanted in strata.items():
            fitting = [name for name in pool if name not in split_of and low <= homologs[name] <= high]
            if len(fitting) < wanted:
                raise ValueError(f"{split}: {len(fitting)} chains have {low} to {high} homologs, {wanted} are wanted")
            split_of.update(dict.fromkeys(fitting[:wanted], split))
    return split_of


def read_alignments(archive: Path) -> dict[str, Msa]:
    with tarfile.open(archive) as tar:
        files = [(member.name, tar.extractfile(member)) for member in tar if member.name.endswith(".a3m")]
        return {Path(name).stem: parse_msa(handle.read(), "a3m", name) for name, handle in files if handle}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdb", type=Path, required=True)
    folder = parser.parse_args().pdb
    chains = {row["id"]: row for row in pq.read_table(folder / "chains.parquet").to_pylist()}
    alignments = read_alignments(folder / "msas.tar.xz")
    homologs = {name: len(msa.codes_NL) - 1 for name, msa in alignments.items()}
    split_of = draw_splits(homologs, {name: len(chains[name]["sequence"]) for name in alignments})
    rows = []
    for name, split in sorted(split_of.items()):
        chain, msa_NL = chains[name], alignments[name].codes_NL
        kept_NL = downsample(msa_NL, MAX_ROWS - 1, generator(SEED, "sample", name))
        rows.append(
            {column: chain[column] for column in ("id", "sequence", "ss8", "backbone_cA", "origin")}
            | {"cluster": chain["cluster25"], "split": split, "homologs_found": homologs[name]}
            | {"msa": kept_NL.tobytes(), "msa_rows": len(kept_NL)}
        )
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), SAMPLE, compression="zstd", compression_level=19)
    print(f"{SAMPLE}: {len(rows)} chains, {SAMPLE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
