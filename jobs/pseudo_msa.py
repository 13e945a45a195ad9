"""Draw pseudo-alignments from probability maps and make their PSSMs.

    python jobs/pseudo_msa.py --maps runs/maps --out runs/pseudo
    python jobs/pseudo_msa.py --maps runs/maps --out runs/msas --write-msa
    ray job submit --working-dir . -- python jobs/pseudo_msa.py --maps /shared/maps --out /shared/pseudo

A PSSM needs counts alone, which are drawn from a multinomial distribution; no sequence is made.  --write-msa draws the
sequences (probabilities are rounded to 2^-16), writes them as OUT/msas/<id>.a3m.gz, and counts them: the PSSM is then
exactly that of the file.  Both ways have one distribution, but are two draws.  A draw follows from --seed and the
protein's id: the same files for any number of workers.  An alignment of 300 residues is 380 kB, packed; characters
that are unsafe in file names become _.

The PSSMs are in OUT/pssms/**/*.parquet: id, sequence, pssm (L x 20, nats, order ARNDCQEGHILKMFPSTWYV).  Maps that
cannot be used are listed in OUT/rejected.parquet with file and reason; the job fails only when none is left.  The same
command again continues a run that was killed, adds what is new among the maps, and costs nothing once all is done.
"""

import sys


def main(argv: list[str] | None = None) -> int:
    import tyro

    from protray.cluster.runtime.job import print_outcome, run_job
    from protray.cluster.runtime.start import setup_logging
    from protray.cluster.storage.addresses import named
    from protray.pipelines.language_model.pseudo_msa import PseudoRun, make_pseudo

    run = tyro.cli(PseudoRun, args=argv, description=__doc__)
    setup_logging()
    if run.plan:
        from protray.cluster.health.plan_table import print_estimate
        from protray.pipelines.language_model.pseudo_msa_plan import stages

        return run_job(lambda: print_estimate(run.out, stages(run)), run.out)

    def work() -> None:
        summary = make_pseudo(run)
        if summary["cached"]:
            print(f"{named(run.out)} is complete and was made with the same maps and settings: nothing to do")
        done = f"proteins   {summary['n_proteins']} done, {summary['n_rejected']} rejected"
        print_outcome(done, summary, run.out / "pssms", run.rejected)
        if run.write_msa:
            print(f"alignments {named(run.out / 'msas')}")

    return run_job(work, run.out, alone=True)


if __name__ == "__main__":
    sys.exit(main())
