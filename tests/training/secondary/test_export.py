import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from tiny import FEATURES, tiny_networks, tiny_proteins, tiny_stages

from protray.data.secondary.collate import Totals, collate
from protray.data.secondary.features import Features
from protray.losses.weights import DistilWeights
from protray.plm.reading import Reading
from protray.training.secondary.export import ModelCard, load_model, save_model
from protray.training.secondary.stages import build, plan_stages

STAGES = tiny_stages()


def saved(folder) -> tuple:  # noqa: ANN001
    torch.manual_seed(0)
    step = build(STAGES["protray"], {"teacher": build(STAGES["teacher"], {}).state_dict()})
    networks = STAGES["protray"].networks
    card = ModelCard(
        lm="shipped", reading=Reading("bfloat16", 16, 400, 100), features=FEATURES, classifier=networks.classifier,
        teacher=STAGES["teacher"].networks.classifier, enhance=networks.enhance,
    )  # fmt: skip
    save_model(folder, card, step.state_dict())
    return card, step


def test_model_comes_back_with_the_same_predictions(tmp_path) -> None:
    card, step = saved(tmp_path / "model")
    found_card, found = load_model(tmp_path / "model")
    assert found_card == card
    assert found.state_dict().keys() == step.state_dict().keys()
    batch = collate([Features(tiny_proteins(), FEATURES).example(0)], Totals())
    assert torch.equal(found.logits(batch), step.logits(batch))
    assert not found.training


def test_a_model_without_enhance_net_comes_back(tmp_path) -> None:
    stages = {stage.name: stage for stage in plan_stages(tiny_networks(), DistilWeights(), "all", 0, ("enhance",))}
    stage = stages["w/o EnhanceNet"]
    step = build(stage, {"teacher": build(stages["teacher"], {}).state_dict()})
    networks = stage.networks
    card = ModelCard(
        lm="none", reading=Reading(), features=FEATURES, classifier=networks.classifier, teacher=networks.classifier,
        enhance=networks.enhance,
    )  # fmt: skip
    save_model(tmp_path, card, step.state_dict())
    found_card, found = load_model(tmp_path)
    assert found_card == card and not found_card.reads_lm
    batch = collate([Features(tiny_proteins(), replace(FEATURES, bert=False, lm_hidden=False)).example(0)], Totals())
    assert torch.equal(found.logits(batch), step.logits(batch))


def test_predictions_need_no_teacher(tmp_path) -> None:
    _, step = saved(tmp_path)
    (tmp_path / "teacher.safetensors").unlink()
    found = load_model(tmp_path)[1]
    batch = collate([Features(tiny_proteins(), FEATURES).example(0)], Totals())
    assert found.teacher is None and torch.equal(found.logits(batch), step.logits(batch))
    (tmp_path / "student.safetensors").unlink()
    with pytest.raises(ValueError, match="student.safetensors is not there"):
        load_model(tmp_path)


def test_a_model_of_before_had_exact_maps_of_one_precision(tmp_path) -> None:
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.pop("reading") == {"precision": "bfloat16", "passes": 16, "window": 400, "overlap": 100}
    (tmp_path / "config.json").write_text(json.dumps(config | {"format": 1, "bf16": True}))
    assert load_model(tmp_path)[0].reading == Reading("bfloat16")


def test_files(tmp_path) -> None:
    saved(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json", "enhancer.safetensors", "student.safetensors", "teacher.safetensors",
    ]  # fmt: skip
    assert json.loads((tmp_path / "config.json").read_text())["enhance"]["kernels"] == [3, 3, 5]
    with safe_open(tmp_path / "enhancer.safetensors", "pt") as file:
        assert "convolutions.0.weight" in file.keys()


def test_what_is_no_model(tmp_path) -> None:
    with pytest.raises(ValueError, match="no config.json in it; give the folder `model`"):
        load_model(tmp_path)
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(ValueError, match="not a model of format 2"):
        load_model(tmp_path)


def test_a_model_of_format_1_says_only_whether_in_bfloat16(tmp_path) -> None:
    """Its maps were exact, of whole proteins."""
    card, _ = saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["reading"]
    for bf16, precision in ((True, "bfloat16"), (False, "float32")):
        (tmp_path / "config.json").write_text(json.dumps(config | {"format": 1, "bf16": bf16}))
        assert load_model(tmp_path)[0] == replace(card, reading=Reading(precision, "exact", None, None))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"reading": None}, "config.json is damaged .TypeError"),
        ({"enhance": {}}, "config.json is damaged .KeyError: 'kernels'"),
        ({"model_type": "esm"}, "it is a language model; give the folder `model` of a finished jobs/distil.py"),
    ],
)
def test_settings_that_are_damaged_are_one_line(tmp_path, change, says) -> None:
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=says) as found:
        load_model(tmp_path)
    assert "\n" not in str(found.value)


def test_weights_that_are_damaged_are_named(tmp_path) -> None:
    saved(tmp_path)
    file = tmp_path / "student.safetensors"
    whole = file.read_bytes()
    weights = load_file(file)
    first, *_ = weights
    for content, says in (
        (whole[: len(whole) // 2], "student.safetensors is cut off: "),
        (b"version https://git-lfs.github.com/spec/v1\nsize 1\n", "student.safetensors is a Git LFS pointer"),
        (
            save({first: weights[first]}),
            r"student.safetensors lacks weights that its settings ask for: .* and \d+ more;",
        ),
        (save(weights | {first: weights[first] * torch.nan}), f"weights are not finite numbers: {first};"),
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=says) as found:
            load_model(tmp_path)
        assert "\n" not in str(found.value)
    file.unlink()
    with pytest.raises(ValueError, match="student.safetensors is not there"):
        load_model(tmp_path)
