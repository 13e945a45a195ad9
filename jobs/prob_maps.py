"""Probability maps of a masked protein language model: each residue masked once, P over the 20 amino acids.

    python jobs/prob_maps.py --data proteins.fasta.gz --out maps
    python jobs/prob_maps.py --data DATASET --lm facebook/esm2_t12_35M_UR50D --out maps --float16
    ray job submit --working-dir . -- python jobs/prob_maps.py --data /nfs/uniref50.fasta.gz --out /nfs/maps --bf16

Writes OUT/maps/*.parquet: id, sequence, and prob_map, the L x 20 probabilities of a protein as one flat list, row
after row; the order of the amino acids stands in the schema's metadata (residue_order).  A map costs L forward passes,
shared by all CPUs, or all GPUs, of the cluster.  Proteins longer than the model reads are read in overlapping windows.

Proteins without a map are listed in OUT/rejected.parquet with file, line and reason.  The same command again continues
a run that was killed, tries those again that a process died of or that did not fit into memory, and costs nothing once
all is done.
"""

import sys


def main(argv: list[str] | None = None) -> int:
    import tyro

    from protray.pipelines.language_model.prob_maps import ProbMapsRun, prob_maps

    run = tyro.cli(ProbMapsRun, args=argv, description=__doc__)

    from protray.cluster.runtime.job import print_outcome, run_job
    from protray.cluster.runtime.start import prepare_environment, setup_logging
    from protray.cluster.storage.addresses import named

    setup_logging()
    prepare_environment()
    if run.plan:
        from protray.cluster.health.plan_table import print_estimate
        from protray.pipelines.language_model.prob_maps_plan import stages

        return run_job(lambda: print_estimate(run.out, stages(run)), run.out)

    def work() -> None:
        summary = prob_maps(run)
        if summary["cached"]:
            print(f"{named(run.out)} is complete and was made with the same model, inputs and settings: nothing to do")
        computed, cached = summary["n_computed"] - summary["n_cached"], summary["n_cached"]
        done = f"maps       {computed} computed, {cached} cached, {summary['n_rejected']} rejected"
        print_outcome(done, summary, run.out / "maps", run.out / "rejected.parquet")

    return run_job(work, run.out, alone=True)


if __name__ == "__main__":
    sys.exit(main())
