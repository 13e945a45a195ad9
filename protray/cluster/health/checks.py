"""What `jobs/doctor.py` makes of the facts: one pure function per check, each with the way to mend it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from protray.cluster.health.probe import Facts

MIB = 1024**2
LONGEST_UPLOAD = 100 * MIB  # ray job submit: the dashboard answers 413 above it (Ray 2.60); ray.init() takes 512 MiB
LARGE_UPLOAD = 50 * MIB
OPEN_FILES = 4096  # Ray warns below it
OPEN_FILES_MANY = 65_535  # Ray's advice for clusters from about 100 nodes
MANY_NODES = 100
CLOCKS_APART_S = 2.0  # files' times tell whether an input has changed; S3 refuses requests from 900 s


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the table."""

    check: str
    state: Literal["ok", "warn", "fail"]
    found: str
    fix: str = ""


def judge_nodes(up: int, may_come: int, silent: Mapping[str, str]) -> Check:
    """Every node has to take a process of ours; those that the autoscaler may add cannot be looked at."""
    if silent:
        return Check(
            check="nodes",
            state="fail",
            found=f"{len(silent)} of {up} did not answer: "
            + "; ".join(f"{name}: {why}" for name, why in silent.items()),
            fix="if protray is missing there, submit with --working-dir or install it; else see `ray status`",
        )
    if may_come:
        return Check(
            check="nodes",
            state="warn",
            found=f"{up} up; {may_come} that the autoscaler may add could not be looked at",
            fix="to look at one, set min_workers: 1 for its type, `ray up`, and run the doctor again",
        )
    return Check(check="nodes", state="ok", found=f"{up} up")


def judge_versions(driver: Mapping[str, str], found: Sequence[Facts]) -> Check:
    """Ray refuses, or breaks, between versions; another torch or numpy gives other numbers."""
    wrong = [
        f"{facts.node.name} has {package} {facts.versions[package]}, the driver {here}"
        for facts in found
        for package, here in driver.items()
        if facts.versions[package] != here or here == "missing"
    ]
    if wrong:
        return Check(
            check="versions",
            state="fail",
            found="; ".join(wrong),
            fix="install the same versions on all nodes: setup_commands in cluster.yaml name them",
        )
    shown = ", ".join(f"{package} {driver[package]}" for package in ("python", "protray", "ray", "torch"))
    return Check(check="versions", state="ok", found=f"{shown} and {len(driver) - 4} more are the same everywhere")


def judge_token(local: bool, mode: str, dashboard: str, status: int | None) -> Check:
    """Who may run code here: `status` is what the dashboard at `dashboard` answered to a request without a token."""
    closed = status in (401, 403) if status is not None else mode == "token"
    if closed:
        shown = f"the dashboard at {dashboard} refuses" if dashboard else "Ray refuses"
        return Check(check="token", state="ok", found=f"{shown} requests without a token")
    fix = "ray get-auth-token --generate, the file ~/.ray/auth_token on all nodes, RAY_AUTH_MODE=token, start Ray again"
    where = f"the dashboard at {dashboard}" if dashboard else "Ray"
    return Check(
        check="token",
        state="warn" if local else "fail",
        found=f"{where} asks for no token (RAY_AUTH_MODE is {mode}): who reaches its ports can run code here",
        fix=fix,
    )


def judge_storage(out: str, error: str, found: Sequence[Facts], arrived: Collection[str]) -> Check:
    """The driver's file in `out` has to be seen from every node, and the nodes' files by the driver."""
    if error:
        return Check(check="--out", state="fail", found=f"{out}: {error}", fix="choose a folder that you may write to")
    blind = [facts.node.name for facts in found if not facts.sees_mark]
    if blind:
        return Check(
            check="--out",
            state="fail",
            found=f"{out} is another folder on {', '.join(blind)}: workers there would write what nobody finds, and "
            "could not read the driver's checkpoints after a restart",
            fix="give --out an address, such as s3://bucket/folder, or mount one file system (NFS, EFS, Filestore, "
            "Lustre) on all nodes and give a folder on it",
        )
    refused = [f"{facts.node.name}: {facts.write_error}" for facts in found if facts.write_error]
    if refused:
        return Check(
            check="--out",
            state="fail",
            found=f"{out} cannot be written from {'; '.join(refused)}",
            fix="make it writable for the user that Ray runs as on every node; for an address, give each node the "
            "credentials (and AWS_ENDPOINT_URL, if it is not Amazon's)",
        )
    late = [facts.node.name for facts in found if facts.node.name not in arrived]
    if late:
        return Check(
            check="--out",
            state="fail",
            found=f"files in {out} from {', '.join(late)} were not seen by the driver",
            fix="the file system caches names for too long (NFS: lookupcache=positive), or is not the same one",
        )
    return Check(check="--out", state="ok", found=f"{out}: written and read from {_nodes(len(found))}")


def judge_mlflow(uri: str, error: str, nodes: int, password: bool = False) -> Check:
    """Only the driver logs.  `password`: whether the address on the command line held one; `uri` must not."""
    if error:
        fix = "start the server, or mend its address, its port or the access to it"
        return Check(check="MLflow", state="fail", found=f"{uri}: {error}", fix=fix)
    if password:
        return Check(
            check="MLflow",
            state="warn",
            found=f"{uri} answers, but Ray shows the command line, with this password, in its list of jobs and logs",
            fix="~/.mlflow/credentials on the head, or MLFLOW_TRACKING_USERNAME and _PASSWORD in its environment",
        )
    if uri.startswith("sqlite:") and nodes > 1:
        return Check(
            check="MLflow",
            state="warn",
            found=f"{uri}: SQLite's locks are not to be relied on in a network folder",
            fix="one job at a time can live with it; else `mlflow server`, and its address as --mlflow",
        )
    return Check(check="MLflow", state="ok", found=uri if uri.startswith("sqlite:") else f"{uri} answers")


def judge_upload(sizes: Mapping[str, int] | None) -> Check:
    """`sizes` are the bytes of each entry of the folder that `ray job submit --working-dir` sends."""
    if sizes is None:
        return Check(check="upload", state="warn", found="this version of Ray does not tell what it would send")
    total = sum(sizes.values())
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
    shown = ", ".join(f"{name} {size / MIB:.1f}" for name, size in largest)
    found = f"{total / MIB:.1f} MiB (limit {LONGEST_UPLOAD // MIB}); largest: {shown}"
    if total < LARGE_UPLOAD:
        return Check(check="upload", state="ok", found=found)
    state = "fail" if total >= LONGEST_UPLOAD else "warn"
    return Check(check="upload", state=state, found=found, fix="name what is not code in .rayignore")


def judge_gpus(found: Sequence[Facts]) -> Check:
    """Ray hands out GPUs by what it counted; torch has to see as many."""
    total = sum(facts.node.gpus for facts in found)
    blind = [
        f"{facts.node.name}: Ray has {facts.node.gpus}, torch (CUDA {facts.cuda}) sees {facts.torch_gpus or 0}"
        for facts in found
        if facts.node.gpus > (facts.torch_gpus or 0)
    ]
    if blind:
        return Check(
            check="GPUs",
            state="fail",
            found="; ".join(blind),
            fix="a driver at least as new as torch's CUDA (nvidia-smi names it), and a torch wheel with CUDA",
        )
    unused = [facts.node.name for facts in found if facts.torch_gpus and facts.torch_gpus > facts.node.gpus]
    if unused:
        return Check(
            check="GPUs",
            state="warn",
            found=f"torch sees more GPUs than Ray hands out on {', '.join(unused)}",
            fix="start Ray there without --num-gpus and without CUDA_VISIBLE_DEVICES",
        )
    return Check(check="GPUs", state="ok", found=f"{total}, all seen by torch" if total else "none: work runs on CPUs")


def judge_shared_memory(found: Sequence[Facts]) -> Check:
    """Ray's object store lives in /dev/shm; where that is too small, Ray takes the disk and is slow."""
    small = [
        f"{facts.node.name}: {facts.shm_bytes / MIB:.0f} MiB for an object store of "
        f"{facts.node.object_store_bytes / MIB:.0f}"
        for facts in found
        if facts.shm_bytes < facts.node.object_store_bytes
    ]
    if small:
        fix = "docker run --shm-size=..., Kubernetes: emptyDir with medium: Memory; or a smaller --object-store-memory"
        return Check(check="/dev/shm", state="warn", found="; ".join(small), fix=fix)
    return Check(check="/dev/shm", state="ok", found="holds the object store on every node")


def judge_open_files(found: Sequence[Facts]) -> Check:
    """Each worker, actor and connection takes some files; a large cluster's head needs most."""
    least = OPEN_FILES_MANY if len(found) >= MANY_NODES else OPEN_FILES
    low = [f"{facts.node.name}: {facts.open_files}" for facts in found if 0 <= facts.open_files < least]
    if low:
        found_text = f"fewer than {least} files at a time: {'; '.join(low)}"
        return Check(check="ulimit -n", state="fail", found=found_text, fix="`ulimit -n 65536` before `ray start`")
    return Check(check="ulimit -n", state="ok", found=f"at least {least} on every node")


def judge_clocks(found: Sequence[Facts]) -> Check:
    """Files' times tell whether inputs have changed, and object stores refuse requests from other times."""
    wrong = [
        f"{facts.node.name} is {facts.clock_ahead_s:+.1f} s off"
        for facts in found
        if abs(facts.clock_ahead_s) - facts.clock_error_s > CLOCKS_APART_S
    ]
    if wrong:
        fix = "turn time synchronisation on (timedatectl set-ntp true, or chrony)"
        return Check(check="clocks", state="fail", found="; ".join(wrong), fix=fix)
    return Check(check="clocks", state="ok", found=f"within {CLOCKS_APART_S:g} s of the driver's")


def _nodes(number: int) -> str:
    return f"{number} node" + ("" if number == 1 else "s")
