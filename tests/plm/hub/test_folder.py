"""Folders that are no language model, or not all of one, are refused in one line before anything starts."""

import json
from pathlib import Path

import pytest
from tiny_model import save_tiny_lm

from protray.models.weight_files import weight_files
from protray.plm.hub.folder import check_present
from protray.plm.shipped import SHIPPED, fingerprint, weight_bytes

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
WEIGHTS = "model.safetensors"


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


def change_config(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps({name: value for name, value in config.items() if value != ""}))


DAMAGE = {
    "pointer": (lambda lm: (lm / WEIGHTS).write_text(POINTER), f"{WEIGHTS} is a Git LFS pointer.*git lfs pull"),
    "pointer of settings": (lambda lm: (lm / "config.json").write_text(POINTER), "config.json is a Git LFS pointer"),
    "pointer of letters": (lambda lm: (lm / "vocab.txt").write_text(POINTER), "vocab.txt is a Git LFS pointer"),
    "half": (lambda lm: cut(lm / WEIGHTS, 12_000), rf"{WEIGHTS} is cut off: 12,000 of \d\d,\d\d\d bytes"),
    "last byte": (lambda lm: cut(lm / WEIGHTS, -1), f"{WEIGHTS} is cut off: "),
    "header": (lambda lm: cut(lm / WEIGHTS, 500), f"{WEIGHTS} is cut off in its header"),
    "nothing": (lambda lm: cut(lm / WEIGHTS, 0), f"{WEIGHTS} is empty"),
    "web page": (lambda lm: (lm / WEIGHTS).write_text("<!DOCTYPE html>\n"), f"{WEIGHTS} is a web page"),
    "text": (lambda lm: (lm / WEIGHTS).write_text("not found, sorry\n"), f"{WEIGHTS} is no safetensors file"),
    "link": (lambda lm: (lm / WEIGHTS).rename(lm / "x") and (lm / WEIGHTS).symlink_to("gone"), "is a link to a file"),
    "no weights": (lambda lm: (lm / WEIGHTS).unlink(), rf"has no weights .{WEIGHTS} or pytorch_model.bin.; save them"),
    "TensorFlow": (lambda lm: (lm / WEIGHTS).rename(lm / "tf_model.h5"), "has no weights .*; it has tf_model.h5;"),
    "no settings": (lambda lm: (lm / "config.json").unlink(), "it has no config.json, so it is no model folder"),
    "settings": (lambda lm: cut(lm / "config.json", 50), "config.json is damaged: it is no JSON"),
    "no type": (lambda lm: change_config(lm, model_type=""), "config.json does not say which architecture it is"),
    "no letters": (lambda lm: (lm / "vocab.txt").unlink(), "it has no tokenizer .vocab.txt, tokenizer.json or"),
    "adapter": (
        lambda lm: (lm / "adapter_config.json").write_text('{"base_model_name_or_path": "facebook/esm2"}'),
        "it is an adapter .LoRA. of facebook/esm2, not a whole model; merge",
    ),
    "distil": (lambda lm: change_config(lm, format=2, lm="shipped"), "of jobs/distil.py; .* reads with is shipped"),
    "score net": (lambda lm: (lm / "score_net.json").write_text("{}"), "a model of jobs/score_net.py"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_damaged_is_one_line_that_names_it(tmp_path, what) -> None:
    lm = save_tiny_lm(tmp_path / "lm")
    damage, says = DAMAGE[what]
    check_present(str(lm))
    damage(lm)
    with pytest.raises(ValueError, match=f"^language model {lm}: .*{says}|^language model {lm}: {says}") as found:
        check_present(str(lm))
    assert "\n" not in str(found.value)
    assert len(str(found.value)) <= 300


def test_the_folder_above_a_model_says_where_it_is(tmp_path) -> None:
    lm = save_tiny_lm(tmp_path / "models--me--lm" / "snapshots" / "0a1b")
    with pytest.raises(ValueError, match=f"it has no config.json, so it is no model folder; give {lm}$"):
        check_present(str(tmp_path / "models--me--lm"))
    with pytest.raises(ValueError, match="it is a file; give the folder in which it lies, with its config.json"):
        check_present(str(lm / WEIGHTS))


def test_shards_that_are_not_there_are_counted(tmp_path) -> None:
    from transformers import AutoModelForMaskedLM

    lm = save_tiny_lm(tmp_path / "lm")
    model = AutoModelForMaskedLM.from_pretrained(lm)
    whole = (lm / WEIGHTS).stat().st_size
    (lm / WEIGHTS).unlink()
    model.save_pretrained(lm, max_shard_size="5kB")
    check_present(str(lm))
    shards = weight_files(lm)
    assert len(shards) == 5
    assert weight_bytes(str(lm)) == sum(file.stat().st_size for file in shards) > whole - 5_000
    for number in (1, 2, 4):
        shards[number].unlink()
    named = f"index.json names 3 of 5 files that are not there: {shards[1].name}, {shards[2].name} and 1 more"
    with pytest.raises(ValueError, match=named):
        check_present(str(lm))
    (lm / f"{WEIGHTS}.index.json").write_text('{"weight_map": {}}')
    with pytest.raises(ValueError, match="index.json names no files"):
        check_present(str(lm))
    (lm / f"{WEIGHTS}.index.json").unlink()
    with pytest.raises(ValueError, match="lacks the index of its weights"):
        check_present(str(lm))


def test_the_size_of_a_model_on_the_hub_is_told_by_what_is_cached(tmp_path, monkeypatch) -> None:
    """Nothing; a config.json of ESM-2 650M (guessed); an index; the file itself."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder, name = tmp_path / "models--me--lm", "me/lm"
    assert weight_bytes(name) == 0
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0a1b")
    (snapshot := folder / "snapshots" / "0a1b").mkdir(parents=True)
    sizes = {"hidden_size": 1280, "num_hidden_layers": 33, "intermediate_size": 5120, "vocab_size": 33}
    (snapshot / "config.json").write_text(json.dumps({"model_type": "esm"}))
    assert weight_bytes(name) == 0
    (snapshot / "config.json").write_text(json.dumps(sizes))
    assert weight_bytes(name) == 4 * (33 * 1280 + 33 * (4 * 1280**2 + 2 * 1280 * 5120)) == 2_595_394_560
    index = {"metadata": {"total_size": 5_000_000_000}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (snapshot / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    assert weight_bytes(name) == 5_000_000_000
    (snapshot / WEIGHTS).write_bytes(b"x" * 700)
    assert weight_bytes(name) == 700


def test_the_shipped_model_is_whole() -> None:
    check_present(SHIPPED)
    assert weight_bytes(SHIPPED) == 3_655_500


def test_another_order_of_letters_is_another_model(tmp_path) -> None:
    lm = save_tiny_lm(tmp_path / "lm")
    before = fingerprint(str(lm))
    vocabulary = (lm / "vocab.txt").read_text()
    (lm / "vocab.txt").write_text(vocabulary.replace("L\nA\n", "A\nL\n"))
    assert fingerprint(str(lm)) != before
    (lm / "vocab.txt").write_text(vocabulary)
    (lm / "README.md").write_text("what it is")
    assert fingerprint(str(lm)) == before
