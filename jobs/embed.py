"""Embeddings of protein structures: the last feature map of a score network, or its means.

    python jobs/embed.py --model runs/score_net/model --structures 1abc.cif 2xyz.pdb.gz --out embeddings
    python jobs/embed.py --model runs/score_net/model --structures DATASET --level residue --out embeddings
    ray job submit --working-dir . -- python jobs/embed.py --model /nfs/model --structures /nfs/pdb --out /nfs/embedded

Writes OUT/embeddings/*.parquet: id, sequence, and embedding as a flat list, row after row: the C numbers of a protein,
L x C of its residues, or L x L x C of its pairs (float16; a long chain has several rows, each beginning at residue
`start`).  `protray.data.embeddings.read_embeddings(OUT)` gives arrays.  Chains of any length are read whole.

Chains without an embedding are listed in OUT/rejected.parquet with file and reason; the job fails only when no chain is
left.  The same command again continues a run that was killed, and costs nothing once all is done.
"""

import sys


def main(argv: list[str] | None = None) -> int:
    import tyro

    from protray.cluster.runtime.job import print_outcome, run_job
    from protray.cluster.runtime.start import prepare_environment, setup_logging
    from protray.cluster.storage.addresses import named
    from protray.pipelines.structure.embed import EmbedRun, embed

    run = tyro.cli(EmbedRun, args=argv, description=__doc__)
    setup_logging()
    prepare_environment()
    if run.plan:
        from protray.cluster.health.plan_table import print_estimate
        from protray.pipelines.structure.embed_plan import stages

        return run_job(lambda: print_estimate(run.out, stages(run)), run.out)

    def work() -> None:
        summary = embed(run)
        if summary["cached"]:
            print(f"{named(run.out)} is complete and was made with the same model, inputs and settings: nothing to do")
        computed, cached = summary["n_embedded"] - summary["n_cached"], summary["n_cached"]
        done = f"chains     {computed} embedded, {cached} cached, {summary['n_rejected']} rejected"
        print_outcome(done, summary, run.out / "embeddings", run.out / "rejected.parquet")

    return run_job(work, run.out, alone=True)


if __name__ == "__main__":
    sys.exit(main())
