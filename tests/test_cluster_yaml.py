"""cluster.yaml is what Ray's launcher takes, in all three variants, and what we promise of it."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "cluster.yaml").read_text()
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def variant(mark: str) -> dict:
    """The keys of a commented variant: lines that start with `mark`."""
    lines = [line.removeprefix(f"{mark} ") for line in TEXT.splitlines() if line.startswith(f"{mark} ")]
    return yaml.safe_load("\n".join(lines))


AWS = yaml.safe_load(TEXT)
GCP = AWS | variant("#:")
OWN = {name: value for name, value in AWS.items() if name not in ("available_node_types", "head_node_type")}
OWN |= variant("#=")
CLOUDS = pytest.mark.parametrize("config", [AWS, GCP], ids=["aws", "gcp"])


def ray_accepts(config: dict) -> None:
    """Raise what `ray up` would."""
    try:
        from ray.autoscaler._private.util import prepare_config, validate_config
    except ImportError:
        pytest.skip("this version of Ray keeps its check of cluster files elsewhere")
    validate_config(prepare_config(config))


@pytest.mark.parametrize("config", [AWS, GCP, OWN], ids=["aws", "gcp", "own machines"])
def test_ray_accepts_it(config) -> None:
    ray_accepts(config)


def test_rays_check_finds_mistakes() -> None:
    """So that the test above can fail."""
    for wrong in (AWS | {"idle_timeout": 5}, AWS | {"head_node_type": "main"}):
        with pytest.raises(Exception, match="idle_timeout|head_node_type"):
            ray_accepts(wrong)


def test_variants_are_of_their_providers() -> None:
    assert [config["provider"]["type"] for config in (AWS, GCP, OWN)] == ["aws", "gcp", "local"]


@CLOUDS
def test_the_head_computes_nothing(config) -> None:
    assert config["available_node_types"][config["head_node_type"]]["resources"] == {"CPU": 0}
    assert "--num-cpus=0" in start(config, "head")


@CLOUDS
def test_workers_come_only_when_needed(config) -> None:
    pools = {name: pool for name, pool in config["available_node_types"].items() if name != config["head_node_type"]}
    assert set(pools) == {"cpu", "gpu"}
    assert all(pool["min_workers"] == 0 for pool in pools.values())
    assert sum(pool["max_workers"] for pool in pools.values()) <= config["max_workers"]
    assert pools["gpu"]["resources"]["GPU"] == 1 and "GPU" not in pools["cpu"]["resources"]
    assert {name: pool["labels"]["protray-pool"] for name, pool in pools.items()} == {"cpu": "cpu", "gpu": "gpu"}
    assert pools["gpu"]["labels"]["protray-market"] == "spot"
    assert "spot" in str(pools["gpu"]["node_config"]).lower()
    assert "spot" not in str(pools["cpu"]["node_config"]).lower()


@CLOUDS
def test_no_port_is_open_to_the_world(config) -> None:
    assert not re.search(r"0\.0\.0\.0|::/0", yaml.safe_dump(config))
    assert "--dashboard-host=127.0.0.1" in start(config, "head")


def test_no_security_group_is_left_to_ray() -> None:
    """A group that Ray makes takes ssh from everywhere, whatever `provider.security_group` adds to it."""
    assert "security_group" not in AWS["provider"]
    assert all(pool["node_config"]["SecurityGroupIds"] for pool in AWS["available_node_types"].values())


def test_tokens_are_asked_for_everywhere() -> None:
    assert all("RAY_AUTH_MODE=token ray start" in start(AWS, kind) for kind in ("head", "worker"))
    assert AWS["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    assert "RAY_AUTH_MODE=token" in AWS["setup_commands"][-1]  # for drivers, and for `ray exec`


def test_objects_spill_to_a_disk_that_is_made() -> None:
    folders = {re.search(r"--object-spilling-directory=(\S+)", start(AWS, kind))[1] for kind in ("head", "worker")}
    (folder,) = folders
    assert any(f"mkdir -p {folder}" in command for command in AWS["setup_commands"])


def test_the_head_autoscales() -> None:
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in start(AWS, "head")
    assert "--autoscaling-config" not in start(AWS, "worker")


def test_nodes_install_what_pyproject_asks_for() -> None:
    """Ray at its lowest version, as all nodes and the launcher need the same; the others as they stand."""
    (install,) = (command for command in AWS["setup_commands"] if "'ray[" in command)
    floor = {need: need.split(",<")[0].replace(">=", "==") + ".0" for need in DEPENDENCIES if need.startswith("ray[")}
    assert len(floor) == 1
    assert re.findall(r"'([^']+)'", install) == [floor.get(need, need) for need in DEPENDENCIES]
    (ray,) = floor.values()
    assert f"'ray[default]=={ray.split('==')[1]}'" in TEXT  # of the launcher, in the comment at the top
    assert "--exclude-newer" in install


def test_it_holds_no_secret() -> None:
    assert not re.search(r"AKIA|BEGIN |password|secret", TEXT)


def start(config: dict, kind: str) -> str:
    """The `ray start` command of the head or of a worker."""
    (command,) = (line for line in config[f"{kind}_start_ray_commands"] if "ray start" in line)
    return command
