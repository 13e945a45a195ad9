"""Files of others are data: nothing in the package unpickles, evaluates or hands them to a shell, or opens a port."""

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [path for folder in ("protray", "jobs") for path in sorted((ROOT / folder).rglob("*.py"))]
RUNS_CODE = {"eval", "exec", "compile", "__import__"}
UNPICKLERS = {"pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
SAFE_WEIGHTS = {("use_safetensors", True), ("weights_only", True)}  # of a model of Transformers: either is enough
STUDIES = "protray/cluster/tuning/space.py"  # a study of `jobs/tune.py` is Python that its user names


def calls(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Name, as it is written, and constant keyword arguments of every call in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            words = {word.arg: getattr(word.value, "value", None) for word in node.keywords if word.arg}
            yield ast.unparse(node.func), words


def dangers(path: Path) -> list[str]:
    found = [
        f"imports {name}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        if name.split(".")[0] in UNPICKLERS
    ]
    for name, words in calls(path):
        last = name.rsplit(".", 1)[-1]
        wrong = (
            name in RUNS_CODE
            or (name.startswith("runpy.") and not str(path).endswith(STUDIES))
            or (name == "torch.load" and words.get("weights_only") is not True)
            or (last == "from_pretrained" and "Auto" in name and words.get("trust_remote_code") is not False)
            or (last == "from_pretrained" and "AutoModel" in name and not SAFE_WEIGHTS & words.items())
            or bool(words.get("allow_pickle"))
            or bool(words.get("shell"))
            or name in ("os.system", "os.popen")
            or last in ("extractall", "unpack_archive")
        )
        found += [f"calls {name}"] if wrong else []
    return found


def test_no_file_of_others_can_run_code() -> None:
    assert {str(path.relative_to(ROOT)): found for path in SOURCES if (found := dangers(path))} == {}


def test_the_check_sees_what_it_forbids(tmp_path: Path) -> None:
    bad = [
        "import pickle", "from joblib import load", "torch.load(f)", "torch.load(f, weights_only=False)",
        "np.load(f, allow_pickle=True)", "subprocess.run(c, shell=True)", "AutoModel.from_pretrained(n)",
        "AutoModel.from_pretrained(n, trust_remote_code=False)",
        "AutoModel.from_pretrained(n, trust_remote_code=False, weights_only=False)",
        "AutoConfig.from_pretrained(n, trust_remote_code=True)", "tar.extractall(d)", "eval(t)", "runpy.run_path(f)",
    ]  # fmt: skip
    good = "torch.load(f, weights_only=True)\nnp.load(f)\ntar.extractfile(m)\nnn.Embedding.from_pretrained(w)\n"
    file = tmp_path / "x.py"
    for line in bad:
        file.write_text(line)
        assert len(dangers(file)) >= 1, line
    file.write_text(good)
    assert dangers(file) == []


def test_nothing_listens_beyond_this_machine() -> None:
    """MLflow's command, and whatever starts Ray: a head of several machines is started by `cluster.yaml`."""
    for path in SOURCES:
        text = path.read_text()
        assert not re.search(r"0\.0\.0\.0|dashboard_host", text), path
    assert "--host 127.0.0.1" in (ROOT / "protray/cluster/tracking/store.py").read_text()


class _Evil:
    """Leaves a file where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return Path.touch, (self.trace,)


def test_weights_that_carry_code_are_refused(tmp_path: Path) -> None:
    """A language model whose weights are a pickle, as they came before safetensors."""
    from tiny_model import save_tiny_lm

    from protray.plm import masked

    folder, trace = save_tiny_lm(tmp_path / "lm"), tmp_path / "ran"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Evil(trace)))
    with pytest.raises((OSError, ValueError)):
        masked.load(str(folder))
    assert not trace.exists()
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert trace.exists()  # so it would have run


def test_a_password_reaches_neither_parameters_nor_tags_nor_the_spool(tmp_path: Path, monkeypatch) -> None:
    """All that tracking writes, with a server that is down; `tests/cluster/tracking/test_run_info.py` has the rules."""
    from protray.cluster.tracking.tracker import Tracker
    from protray.data.location import Location

    address = "http://me:hunter2@127.0.0.1:9"
    tracker = Tracker.open(address, "test", Location(tmp_path))
    params = {"hf_token": "hunter2", "mlflow": address, "data": "s3://key:hunter2@bucket/x?X-Amz-Signature=hunter2"}
    run = tracker.start_run(key="a", name="a", params=params, tags={"api_key": "hunter2", "from": address})
    tracker.log(run, {"loss": 1.0}, step=1)
    tracker.finish(run)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "mlflow_spool.jsonl" and path.stat().st_size for path in written)
    assert not [path for path in written if b"hunter2" in path.read_bytes()]
