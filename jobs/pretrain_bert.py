"""Pre-train a masked protein language model on FASTA files.

    python jobs/pretrain_bert.py --fasta swissprot.fasta.xz --held-out chains.fasta --out runs/bert
    python jobs/pretrain_bert.py --fasta uniref50.fasta.gz --clusters uniref50_cluster.tsv --lm.size 8m --out runs/bert
    ray job submit --working-dir . -- python jobs/pretrain_bert.py --fasta DIR --clusters TABLE --workers 8 --out DIR

The model, `OUT/model`, is one of Hugging Face Transformers: any tool that takes ESM takes it, such as the `--lm` of
jobs/distil.py.  The same command again continues where it was stopped, and costs nothing once it has finished.
"""

import sys
from pathlib import Path


def main() -> int:
    import tyro

    from protray.pipelines.language_model.pretrain_run import PretrainRun

    run = tyro.cli(PretrainRun, description=__doc__)

    from protray.cluster.runtime.job import run_job
    from protray.cluster.runtime.start import prepare_environment, setup_logging

    setup_logging()
    prepare_environment()
    if run.plan:
        from protray.cluster.health.plan_table import print_estimate
        from protray.pipelines.language_model.pretrain_plan import stages

        return run_job(lambda: print_estimate(run.out, stages(run)), run.out)
    from protray.pipelines.language_model.pretrain import pretrain

    return run_job(lambda: print_summary(run.out, pretrain(run)), run.out, alone=True)


def print_summary(out: Path, facts: dict) -> None:
    """Say how good the model is, and where it lies."""
    from protray.cluster.storage.addresses import named

    for name, scores in facts["maps"].items():
        plain = f"perplexity {scores['frequency_perplexity']:.2f}, top-1 {scores['frequency_top1']:.3f}"
        print(f"{name}: {scores['proteins']} proteins, one mask per position, against amino-acid frequencies ({plain})")
        print(f"  perplexity {scores['perplexity']:.2f}, top-1 {scores['top1']:.3f}")
    print(f"model   {named(out / 'model')}\ncurve   {named(out / 'curve.png')}\nMLflow  {facts['mlflow_ui']}")


if __name__ == "__main__":
    sys.exit(main())
