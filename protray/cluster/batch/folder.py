"""Before a batch job begins: are its settings usable, what does its folder hold, and which actors will work."""

from typing import Any

from protray.cluster.batch.job import BatchJob
from protray.cluster.runtime.resources import Plan, actor_pool, make_plan
from protray.cluster.runtime.start import Cluster
from protray.cluster.storage.identity import difference
from protray.data.location import Location

WORTH_AN_ACTOR_S = 10.0  # of work: for less no other process is worth its start


def checked(job: BatchJob, run: Any) -> dict:
    """What the result depends on; ValueError for unusable settings, and for an output folder of something else."""
    run.check()
    identity = job.identity(run)
    record, before = recorded(run)
    if before is None:
        run.check_new()
    elif changed := difference(before | {name: identity[name] for name in may_change(job, run, identity)}, identity):
        place = next((place for place in (run.out, run.work) if record.startswith(f"{place}/")), record)
        more = "" if place == run.out else f" and {place}"
        raise ValueError(f"{run.out} was made differently: {changed}. Choose another --out, or remove it{more}")
    return identity


def may_change(job: BatchJob, run: Any, identity: dict) -> tuple[str, ...]:
    """What may differ from before: where `refuse` was called there is no result, and a corrected input may come."""
    record = run.work / "run.json"
    return job.grows or (tuple(identity) if record.is_file() and record.read_json().get("refused") else ())


def refuse(run: Any, identity: dict) -> None:
    """Note that too much of the input is unusable; what is done is kept, for a larger --max-rejected."""
    (run.work / "run.json").write_json({"identity": identity, "refused": True})


def finished(job: BatchJob, run: Any, identity: dict) -> dict | None:
    """The summary of a run that is complete; None if something is left to do."""
    summary = run.summary.read_json() if run.summary.is_file() and run.result(job.table).exists() else None
    return summary if summary and not summary["n_again"] and not is_stale(run, identity) else None


def is_stale(run: Any, identity: dict) -> bool:
    """Whether what is there was made from inputs that have changed since, as ``job.grows`` allows."""
    _, before = recorded(run)
    return before is not None and bool(difference(before, identity))


def recorded(run: Any) -> tuple[Location, dict | None]:
    """The file that says what is there, and its identity; None if nothing is."""
    record = run.summary if run.summary.is_file() else run.work / "run.json"
    before = record.read_json() if record.is_file() else None
    return record, before and before.get("identity", before)


def let_go(run: Any, table: str) -> None:
    """Free the folder for another input, since nothing of this one could be used; the list of why stays.

    If more is left, such as alignments of an input that has changed since, it still belongs to its settings.
    """
    _, before = recorded(run)
    for place in (run.work, run.folder(table)):
        place.remove()
    if not run.is_new:
        (run.work / "run.json").write_json(before)


def pool(job: BatchJob, run: Any, cluster: Cluster, cost: float) -> Plan:
    """The actors of a job of so much work, in seconds of one core."""
    most = max(1, int(cost / WORTH_AN_ACTOR_S))
    options = {"actors": run.actors, "cpus": run.cpus_per_actor, "memory": job.memory(run)}
    return make_plan([actor_pool(job.name, cluster.nodes, most, **options)], cluster.nodes)
