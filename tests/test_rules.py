"""What every change keeps: dependencies point down, the package is light, files are short, the README is true."""

import ast
import functools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "protray"
MODULES = sorted(PACKAGE.rglob("*.py"))
README = ROOT / "README.md"
READMES = [README, *sorted(PACKAGE.rglob("*.md"))]

# pyproject.toml README.md jobs/ protray/ tune_spaces/ cluster.yaml tests/, a licence, and dot-files
TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "jobs", "protray", "tune_spaces", "cluster.yaml", "tests"}

# the floors of the house, from the ground up: a room imports from floors below its own alone
FLOORS = [
    {"seq"},
    {"struct", "losses"},
    {"models"},
    {"plm"},
    {"data"},
    {"evaluation", "training"},
    {"plots", "inference"},
    {"cluster.storage"},
    {"cluster.runtime", "cluster.tracking"},
    {"cluster.health"},
    {"cluster.batch", "cluster.train"},
    {"cluster.tuning"},
    {"pipelines.language_model", "pipelines.structure"},
    {"pipelines.secondary", "pipelines.tasks"},
    {"bench"},
]
WITH_RAY = ("cluster", "pipelines")


def imports(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, at the top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_rules_see_the_package() -> None:
    assert len(MODULES) > 40
    assert "ray" in {name.split(".")[0] for name in imports(PACKAGE / "cluster" / "train" / "fit.py")}


def test_only_cluster_and_pipelines_import_ray_or_mlflow() -> None:
    wrong = [
        f"{relative(path)}: {name}"
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0] not in WITH_RAY
        for name in imports(path)
        if name.split(".")[0] in ("ray", "mlflow")
    ]
    assert wrong == []


def test_mlflow_is_imported_in_its_room_alone_and_storage_knows_no_ray() -> None:
    wrong = [
        f"{relative(path)}: {name}"
        for path in MODULES
        for name in imports(path)
        if (name.split(".")[0] == "mlflow" and room_of(module_of(path)) != "cluster.tracking")
        or (name.split(".")[0] == "ray" and room_of(module_of(path)) == "cluster.storage")
    ]
    assert wrong == []


def room_of(module: str) -> str | None:
    """The room of a module of ours; None for the package itself."""
    parts = module.split(".")
    if parts[0] != "protray" or len(parts) < 2 or parts[1] == "__version__":
        return None
    return ".".join(parts[1 : 3 if parts[1] in WITH_RAY else 2])


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module_of(path)) for path in MODULES if path.read_text().strip()} - {None}
    assert rooms == set().union(*FLOORS)


def test_dependencies_point_down() -> None:
    floor_of = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for path in MODULES:
        own = room_of(module_of(path))
        for name in imports(path) if own else ():
            other = room_of(name)
            if other and other != own and floor_of[other] >= floor_of[own]:
                wrong.append(f"{relative(path)}: {name}")
    assert wrong == []


def test_no_import_goes_in_a_circle() -> None:
    """Also where an import stands inside a function, or is for a type checker alone."""
    known = {module_of(path) for path in MODULES}
    wanted = {
        module_of(path): {
            name if name in known else name.rpartition(".")[0] for name in imports(path) if name.startswith("protray")
        }
        & known - {module_of(path)}
        for path in MODULES
    }
    while free := [name for name, others in wanted.items() if not others & wanted.keys()]:
        for name in free:
            del wanted[name]
    assert wanted == {}


@pytest.mark.parametrize(
    "module",
    [
        "protray",
        "protray.pipelines.secondary.distil",
        "protray.pipelines.language_model.pretrain",
        "protray.pipelines.language_model.prob_maps",
        "protray.pipelines.structure.score_net",
        "protray.pipelines.structure.ssdm",
        "protray.pipelines.tasks.quality.training",
        "protray.pipelines.tasks.sites.training",
        "protray.pipelines.tasks.sites.find_sites",
        "protray.pipelines.tasks.properties.function.training",
        "protray.pipelines.tasks.properties.stability.training",
        "protray.pipelines.tasks.properties.annotate.annotate",
        "protray.cluster.tuning.settings",
        "protray.data.schemas",
    ],
)
def test_importing_it_is_light(module) -> None:
    """What `--help` needs is there without the slow packages."""
    code = (
        f"import sys, {module}; print(*{{'torch', 'ray', 'mlflow', 'transformers', 'matplotlib'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_files_stay_short() -> None:
    lines = {relative(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: n for name, n in lines.items() if n > 350} == {}


def test_no_prints_in_science() -> None:
    """Results are printed by jobs, and by what shows them; `build.py` of the sample is a script."""
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0] not in (*WITH_RAY, "bench") and not path.name.startswith("build")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert wrong == []


def test_top_level_is_fixed() -> None:
    """Of what is tracked or could be: folders that a run or an installation leaves are ignored."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout, so what belongs to the project is not known")
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    entries = {line.split("/")[0] for line in done.stdout.splitlines()}
    assert {entry for entry in entries if not entry.startswith(".")} <= TOP_LEVEL


def readme_commands(readme: Path) -> list[list[str]]:
    """The `python jobs/...` commands of a README, in its sh blocks and inside sentences and tables, as words."""
    text = readme.read_text() if readme.is_file() else ""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"(?<!`)`(python jobs/[^`]+)`(?!`)", text)
    words = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    return [found[found.index("python") + 1 :] for found in words if "python" in found and "-m" not in found]


@functools.cache
def flags_of(job: str) -> set[str]:
    """What a job's --help names."""
    assert (ROOT / job).is_file(), f"a README runs {job}, which does not exist"
    done = subprocess.run(
        [sys.executable, job, "--help"],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"--[a-z0-9][a-z0-9._-]*", done.stdout))


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: str(readme.relative_to(ROOT)))
def test_readme_commands_are_jobs_with_those_flags(readme) -> None:
    for job, *words in readme_commands(readme):
        flags = {word.split("=")[0] for word in words if word.startswith("--")}
        assert flags <= flags_of(job), f"{job} has no {sorted(flags - flags_of(job))}"


def test_readme_commands_are_seen() -> None:
    assert ["jobs/distil.py"] in readme_commands(README)
    assert ["jobs/bench.py", "NAME"] in readme_commands(PACKAGE / "bench" / "README.md")


def test_readme_is_short() -> None:
    """What it does not need is in the README of the folder that it is about."""
    assert len(README.read_text().splitlines()) <= 200


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.py")), ids=lambda path: path.name)
def test_jobs_are_thin_and_import_late(path) -> None:
    """At its top a job imports no slow package, so that --help answers at once."""
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path.name} says nothing about itself"
    top = [name for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for name in _names(node)]
    assert not {name.split(".")[0] for name in top} & {"ray", "torch", "mlflow", "transformers", "matplotlib"}


def _names(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]


@pytest.mark.parametrize("folder", ["protray", "jobs", "tests"])
def test_no_path_of_one_machine(folder) -> None:
    roots = "|".join(("home", "root", "Users", "tmp", "work"))
    wrong = re.compile(rf"""["'\s=(]/({roots})/""")
    found = [
        relative(path)
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(__file__).resolve() and wrong.search(path.read_text())
    ]
    assert found == []
