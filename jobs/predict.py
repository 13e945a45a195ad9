"""Predict secondary structure with a finished model, for one protein or 100,000.

    python jobs/predict.py --model runs/distil/model --msas alignments/ --out predictions.parquet
    python jobs/predict.py --model runs/distil/model --fasta proteins.fasta.gz --out predictions.3line
    python jobs/predict.py --model runs/distil/model --fasta one.fasta --out one.ss2
    ray job submit --working-dir . -- python jobs/predict.py --model /nfs/model --msas /nfs/msas --out /nfs/p.parquet

The extension of --out decides the format: .parquet (id, sequence, ss3, prob as L x 3 in the order H, E, C, msa_count),
.3line (>id, sequence, states), or PSIPRED's .ss2.  An .ss2 file holds one protein: one input makes the file --out,
several make a folder of that name with one <id>.ss2 each (characters that are unsafe in file names become _).

Proteins that cannot be used are listed beside it in <name>.rejected.parquet with file, line and reason; the job fails
only when none is left.  Of FASTA records with one id the first is kept.  The same command again continues a run that
was killed, from <out>.parts, and costs nothing once it has finished.
"""

import sys


def main(argv: list[str] | None = None) -> int:
    import tyro

    from protray.cluster.runtime.job import print_outcome, run_job
    from protray.cluster.runtime.start import setup_logging
    from protray.cluster.storage.addresses import named
    from protray.pipelines.secondary.predict import PredictRun, predict

    run = tyro.cli(PredictRun, args=argv, description=__doc__)
    setup_logging()
    if run.plan:
        from protray.cluster.health.plan_table import print_estimate
        from protray.pipelines.secondary.predict_plan import stages

        return run_job(lambda: print_estimate(run.out, stages(run)), run.out)

    def work() -> None:
        summary = predict(run)
        if summary["cached"]:
            print(f"{named(run.out)} is complete and was made with the same model, inputs and settings: nothing to do")
        done = f"proteins   {summary['n_predicted']} predicted, {summary['n_rejected']} rejected"
        print_outcome(done, summary, run.out, run.rejected)

    return run_job(work, run.out, alone=True)


if __name__ == "__main__":
    sys.exit(main())
