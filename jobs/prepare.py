"""Turn alignments and labels into a prepared dataset.

    python jobs/prepare.py --msas alignments/ --labels labels.3line --out dataset
    python jobs/prepare.py --msas alignments/ --labels structures/ --split-by cluster.tsv --out dataset

Alignments: A3M, A2M, Stockholm, aligned FASTA or PSI-BLAST-like .aln, plain or .gz, one file per protein, named after
it.  Labels: a 3-line file (>id, sequence, H/E/C or DSSP letters), or a folder of mmCIF/PDB files (1ABC.cif labels 1ABC
and, with its chain A, 1ABC_A).  Proteins that cannot be used are listed in OUT/rejected.parquet with file, line and
reason; the job fails only when none is left.
"""

import sys

import tyro

from protray.cluster.batch.parts import run_with_progress
from protray.cluster.runtime.job import run_job
from protray.cluster.runtime.start import setup_logging
from protray.cluster.storage.addresses import named
from protray.pipelines.secondary.prepare import PrepareConfig, finished, prepare


def main(argv: list[str] | None = None) -> int:
    config = tyro.cli(tyro.conf.OmitArgPrefixes[PrepareConfig], args=argv, description=__doc__)
    setup_logging()
    if config.plan:
        from protray.cluster.health.plan_table import print_estimate
        from protray.pipelines.secondary.prepare_plan import stages

        return run_job(lambda: print_estimate(config.out, stages(config)), config.out)

    def work() -> None:
        print_summary(config, finished(config) or run_with_progress(lambda report: prepare(config, report), config.out))

    return run_job(work, config.out, alone=True)


def print_summary(config: PrepareConfig, summary: dict) -> None:
    """Say what was made and what was not used."""
    if summary["cached"]:
        print(f"{named(config.out)} is complete and was made with the same settings and inputs: nothing to do")
    print(f"proteins   {summary['n_proteins']} usable, {summary['n_rejected']} rejected")
    for reason, count in summary["reasons"].items():
        print(f"           {count} x {reason}")
    print("homologs   " + "   ".join(f"{bin}: {n}" for bin, n in summary["msa_count_histogram"].items()))
    print("splits     " + "   ".join(f"{split}: {n}" for split, n in summary["splits"].items()), end="")
    print(f"   ({summary['n_clusters']} clusters)")
    print("labels     " + "   ".join(f"{how}: {n}" for how, n in summary["labelled_by"].items()))
    print(f"written    {named(config.out)} (digest {summary['digest'][:12]})")


if __name__ == "__main__":
    sys.exit(main())
