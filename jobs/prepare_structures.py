"""Turn structure files into a prepared dataset of protein chains.

    python jobs/prepare_structures.py --structures pdb/ --out dataset
    python jobs/prepare_structures.py --structures list.txt --split-by clusters-by-entity-30.txt --out dataset
    python jobs/prepare_structures.py --structures pdb.tar.gz --exclude test.fasta --keep cluster --out dataset

Structures: mmCIF or PDB files, plain or .gz, in a folder with its subfolders, in a tar archive (.tar, .tar.gz, .tar.xz,
.tar.bz2), or in a text list of paths.  Files and chains that are left out are listed in OUT/rejected.parquet with the
reason; the job fails only when no chain is left.  The same command again continues a run that was killed.
"""

import sys

import tyro

from protray.cluster.batch.parts import run_with_progress
from protray.cluster.runtime.job import run_job
from protray.cluster.runtime.start import setup_logging
from protray.cluster.storage.addresses import named
from protray.pipelines.structure.prepare_structures import StructuresConfig, finished, prepare_structures


def main(argv: list[str] | None = None) -> int:
    config = tyro.cli(tyro.conf.OmitArgPrefixes[StructuresConfig], args=argv, description=__doc__)
    setup_logging()
    if config.plan:
        from protray.cluster.health.plan_table import print_estimate
        from protray.pipelines.structure.prepare_structures_plan import stages

        return run_job(lambda: print_estimate(config.out, stages(config)), config.out)

    def work() -> None:
        made = finished(config) or run_with_progress(lambda report: prepare_structures(config, report), config.out)
        print_summary(config, made)

    return run_job(work, config.out, alone=True)


def print_summary(config: StructuresConfig, summary: dict) -> None:
    """Say what was made and what was not used."""
    if summary["cached"]:
        print(f"{named(config.out)} is complete and was made with the same settings and inputs: nothing to do")
    print(
        f"chains     {summary['n_chains']} usable ({summary['n_residues']} residues), from {summary['n_files']} files"
    )
    print("splits     " + "   ".join(f"{split}: {n}" for split, n in summary["splits"].items()), end="")
    print(f"   ({summary['n_clusters']} clusters)")
    print("decisions  " + "   ".join(f"{name}: {n}" for name, n in summary["decisions"].items()))
    print(f"left out   {summary['n_rejected']} files or chains, see {named(config.out / 'rejected.parquet')}")
    for reason, count in summary["reasons"].items():
        print(f"           {count} x {reason}")
    print(f"written    {named(config.out)} (digest {summary['digest'][:12]})")


if __name__ == "__main__":
    sys.exit(main())
