"""A model of which weights are missing is refused; one that is whole gives the maps of its weights, however stored."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import save_tiny_lm

from protray.plm.masked import load, probability_map
from protray.plm.pretraining.tokens import ESM_TOKENS
from protray.seq.alphabet import AMINO_ACIDS, encode

SEQUENCE = "MKTAYIAKQRXLEDWCCHFGPNSV"
EMBEDDINGS = "esm.embeddings.word_embeddings.weight"
Weights = dict[str, torch.Tensor]


@pytest.fixture
def lm(tmp_path: Path) -> Path:
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return save_tiny_lm(tmp_path / "lm")


def change(lm: Path, weights: Callable[[Weights], Weights] = dict, **config: object) -> None:
    stored = json.loads((lm / "config.json").read_text())
    (lm / "config.json").write_text(json.dumps(stored | config))
    save_file(weights(load_file(lm / "model.safetensors")), lm / "model.safetensors", {"format": "pt"})


def without(text: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: weight for name, weight in weights.items() if text not in name}


def with_prefix(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {prefix + name: weight for name, weight in weights.items()}


def refusal(lm: Path) -> str:
    with pytest.raises(ValueError, match=f"^language model {lm}: ") as found:
        load(str(lm))
    assert "\n" not in str(found.value)
    assert len(str(found.value)) <= 300
    return str(found.value)


def plain_map(lm: Path) -> np.ndarray:
    """By the weights in the file alone: the head's decoder is written out as the embeddings."""
    from transformers import EsmConfig, EsmForMaskedLM

    weights = load_file(lm / "model.safetensors")
    model = EsmForMaskedLM(EsmConfig.from_pretrained(lm, tie_word_embeddings=False)).eval()
    decoder = weights.get("lm_head.decoder.weight", weights[EMBEDDINGS])
    model.load_state_dict(weights | {"lm_head.decoder.weight": decoder}, strict=False)
    ids = torch.tensor([[0, *(ESM_TOKENS.index(letter) for letter in SEQUENCE), 2]]).repeat(len(SEQUENCE), 1)
    positions = torch.arange(len(SEQUENCE))
    ids[positions, positions + 1] = ESM_TOKENS.index("<mask>")
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[positions, positions + 1]
    return logits[:, [ESM_TOKENS.index(letter) for letter in AMINO_ACIDS]].softmax(-1).numpy()


# ---- weights that are missing


def test_an_encoder_without_a_head_is_refused_by_the_names_of_its_weights(tmp_path) -> None:
    from transformers import EsmConfig, EsmModel

    lm = save_tiny_lm(tmp_path / "lm")
    EsmModel(EsmConfig.from_pretrained(lm), add_pooling_layer=False).save_pretrained(lm)
    said = refusal(lm)
    assert "its files lack 5 of 44 weights: lm_head.bias, lm_head.dense.weight and 3 more; " in said
    assert "it has no masked-LM head (saved as EsmModel), and maps would be random" in said


def test_a_classifier_has_no_head_for_maps(tmp_path) -> None:
    from transformers import EsmConfig, EsmForSequenceClassification

    lm = save_tiny_lm(tmp_path / "lm")
    EsmForSequenceClassification(EsmConfig.from_pretrained(lm)).save_pretrained(lm)
    assert "it has no masked-LM head (saved as EsmForSequenceClassification)" in refusal(lm)


@pytest.mark.parametrize(
    ("weights", "config", "says"),
    [
        (without("lm_head.bias"), {}, "lack 1 of 44 weights: lm_head.bias; its masked-LM head is not whole"),
        (dict, {"tie_word_embeddings": False}, "lack 1 of 44 weights: lm_head.decoder.weight; its masked-LM head is"),
        (without(".layer.1."), {}, "lack 16 of 44 weights: esm.encoder.layer.1.*; are all of its files there"),
        (without("word_embeddings"), {}, f"lack 2 of 44 weights: {EMBEDDINGS}, lm_head.decoder.weight; are all"),
        (with_prefix("module."), {}, "there they begin with 'module.'; save the model without"),
        (with_prefix("model.lm."), {}, "there they begin with 'model.lm.'; save the model without"),
        (without(""), {}, "lack 41 of 44 weights: "),
    ],
)
def test_weights_that_are_missing_are_named(lm, weights, config, says) -> None:
    change(lm, weights, **config)
    assert re.search(says, refusal(lm))


@pytest.mark.parametrize(
    ("weights", "config", "says"),
    [
        (dict, {"vocab_size": 40}, f"{EMBEDDINGS} is 33 x 16 in its files and 40 x 16 by its config.json (and 1 more)"),
        (without("contact_head"), {"num_hidden_layers": 1}, "config.json has no place for 16 weights of its files: "),
        (dict, {"mask_token_id": 4}, "its mask is token 4 by config.json and 32 by its tokenizer"),
        (dict, {"is_decoder": True}, "it reads from left to right"),
        (dict, {"hidden_size": "32"}, "Validation error for field 'hidden_size': TypeError: "),
        (dict, {"model_type": "t5"}, "architecture 't5' has no masked-LM head in Transformers"),
        (dict, {"model_type": "gpt2"}, "architecture 'gpt2' has no masked-LM head in Transformers"),
        (dict, {"model_type": "bart"}, "architecture 'bart' has no masked-LM head in Transformers"),
        (dict, {"model_type": "progen"}, "its architecture 'progen' is not part of Transformers, and protray runs no"),
        (lambda all: all | {"lm_head.bias": torch.full((33,), torch.nan)}, {}, "not finite numbers: lm_head.bias"),
        (lambda all: all | {EMBEDDINGS: all[EMBEDDINGS] * torch.inf}, {}, f"are not finite numbers: {EMBEDDINGS}"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_together_are_refused(lm, weights, config, says) -> None:
    change(lm, weights, **config)
    assert says in refusal(lm)


# ---- weights that are there


@pytest.mark.parametrize(
    ("weights", "config"),
    [
        (dict, {}),  # the decoder is the embeddings, and in no file
        (without("contact_head"), {}),
        (without("inv_freq"), {}),
        (lambda all: all | {"lm_head.decoder.weight": all[EMBEDDINGS].flip(0)}, {"tie_word_embeddings": False}),
        (lambda all: all | {"lm_head.decoder.weight": all[EMBEDDINGS].flip(0)}, {}),  # not what config.json says
        (lambda all: all | {"esm.pooler.dense.weight": torch.ones(16, 16), "classifier.bias": torch.ones(2)}, {}),
    ],
)
def test_maps_are_those_of_the_weights_in_the_file(lm, weights, config) -> None:
    change(lm, weights, **config)
    found_LA = probability_map(load(str(lm)), encode(SEQUENCE))
    np.testing.assert_allclose(found_LA, plain_map(lm), atol=1e-5)
    assert found_LA.std(axis=1).min() > 1e-3


@pytest.mark.parametrize("new", [True, False])  # zip files since PyTorch 1.6, pickles before
def test_weights_of_pytorch_are_read_without_running_them(lm, new, tmp_path) -> None:
    expected_LA = plain_map(lm)
    weights = load_file(lm / "model.safetensors")
    (lm / "model.safetensors").unlink()
    torch.save(weights, lm / "pytorch_model.bin", _use_new_zipfile_serialization=new)
    np.testing.assert_allclose(probability_map(load(str(lm)), encode(SEQUENCE)), expected_LA, atol=1e-5)
    file = lm / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-2000])
    assert ("is cut off" if new else "it cannot be loaded: RuntimeError: unexpected EOF") in refusal(lm)
    torch.save({"x": Runs(tmp_path / "ran")}, file, _use_new_zipfile_serialization=new)
    assert "its weights hold Python objects, which protray does not run; save them as safetensors" in refusal(lm)
    assert not (tmp_path / "ran").exists()


class Runs:
    """Writes a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.file,))
