"""Masked maps of small random models of three families equal one plain forward pass per masked copy."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from protray.plm import masked
from protray.plm.masked import LanguageModel, hidden_rows, load, map_rows, probability_map
from protray.plm.passes import esm
from protray.plm.pretraining.tokens import ESM_TOKENS, MASK, PADDING, save_tokenizer
from protray.plm.reading import Reading
from protray.seq.alphabet import AMINO_ACIDS, N_AA, encode

BF16 = Reading("bfloat16")
SEQUENCES = ["MKTAYIAKQRXLEDWCCHFGPNSV", "W"]
BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *AMINO_ACIDS, "X"]
ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", *AMINO_ACIDS, "<mask>"]
SIZE = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 24,
    "max_position_embeddings": 40, "initializer_range": 0.25, "hidden_dropout_prob": 0.1,
}  # fmt: skip


def save_esm(folder: Path, **settings: object) -> None:
    from transformers import EsmConfig, EsmForMaskedLM

    config = {"position_embedding_type": "rotary", "token_dropout": False} | SIZE | settings
    special = {"vocab_size": len(ESM_TOKENS), "mask_token_id": MASK, "pad_token_id": PADDING}
    EsmForMaskedLM(EsmConfig(**special, **config)).save_pretrained(folder)
    save_tokenizer(folder)


def save_bert(folder: Path, tokens: list[str] = BERT_TOKENS) -> None:
    """As ProtBert: residues are words between spaces."""
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    BertForMaskedLM(BertConfig(vocab_size=len(tokens), **SIZE)).save_pretrained(folder)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(tokens))
    BertTokenizer(vocab=str(vocabulary), do_lower_case=False).save_pretrained(folder)


def save_roberta(folder: Path, tokens: list[str] = ROBERTA_TOKENS, mask: str | None = "<mask>") -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

    RobertaForMaskedLM(RobertaConfig(vocab_size=len(tokens), pad_token_id=1, **SIZE)).save_pretrained(folder)
    raw = Tokenizer(models.WordLevel({token: n for n, token in enumerate(tokens)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")  # type: ignore[assignment]
    raw.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])  # type: ignore[assignment]
    special = {"unk_token": "<unk>", "pad_token": "<pad>"} | ({"mask_token": mask} if mask else {})
    PreTrainedTokenizerFast(tokenizer_object=raw, **special).save_pretrained(folder)


SAVE = {
    "esm": lambda folder: save_esm(folder),
    "esm, token dropout": lambda folder: save_esm(folder, token_dropout=True),
    "esm, layer norm first": lambda folder: save_esm(folder, token_dropout=True, emb_layer_norm_before=True),
    "esm, one layer": lambda folder: save_esm(folder, num_hidden_layers=1),
    "esm, absolute": lambda folder: save_esm(folder, position_embedding_type="absolute"),
    "bert": save_bert,
    "roberta": save_roberta,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LanguageModel]:
    loaded = {}
    for number, (name, save) in enumerate(SAVE.items()):
        folder = tmp_path_factory.mktemp("lm")
        torch.manual_seed(number)
        save(folder)
        loaded[name] = load(str(folder))
    return loaded


def plain_map(lm: LanguageModel, sequence: str, passes: int) -> np.ndarray:
    """One masked copy at a time, spelled out from the tokens' names; a copy masks every `passes`-th position."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(lm.name)
    amino_acids = tokenizer.convert_tokens_to_ids(list(AMINO_ACIDS))
    rows = []
    for position in range(len(sequence)):
        masked = range(position % passes, len(sequence), passes)
        letters = [tokenizer.mask_token if n in masked else letter for n, letter in enumerate(sequence)]
        ids = tokenizer.convert_tokens_to_ids(letters)
        ids = torch.tensor([[lm.before[0], *ids, *lm.after]])
        with torch.no_grad():
            logits = lm.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, position + 1]
        rows.append(logits[amino_acids].softmax(-1).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("name", SAVE)
def test_map_is_one_masked_copy_per_position(models, name, sequence) -> None:
    map_LA = probability_map(models[name], encode(sequence))
    assert map_LA.shape == (len(sequence), N_AA)
    assert map_LA.dtype == np.float32
    np.testing.assert_allclose(map_LA, plain_map(models[name], sequence, passes=len(sequence)), atol=1e-6)
    np.testing.assert_allclose(map_LA.sum(axis=1), 1, atol=1e-6)
    assert map_LA.std(axis=1).min() > 1e-3  # the models are random, but not flat


@pytest.mark.parametrize("passes", [7, 8, 16])  # of 24 residues: 4 or 3, 3, and 2 or 1 are masked together
@pytest.mark.parametrize("name", SAVE)
def test_every_kth_residue_is_masked_together(models, name, passes) -> None:
    expected_LA = plain_map(models[name], SEQUENCES[0], passes)
    reading = Reading(passes=passes)
    np.testing.assert_allclose(probability_map(models[name], encode(SEQUENCES[0]), reading), expected_LA, atol=1e-6)
    near_LA = probability_map(models[name], encode(SEQUENCES[0]), replace(reading, precision="bfloat16"))
    np.testing.assert_allclose(near_LA, expected_LA, atol=0.02 if esm.supports(models[name].model) else 0.1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_as_many_passes_as_residues_are_exact(models, precision) -> None:
    exact_LA = probability_map(models["esm"], encode(SEQUENCES[0]), Reading(precision))
    for passes in (24, 1000):
        found_LA = probability_map(models["esm"], encode(SEQUENCES[0]), Reading(precision, passes))
        np.testing.assert_array_equal(found_LA, exact_LA)


def test_what_is_masked_together_by_hand() -> None:
    assert [x.tolist() for x in masked.masked_together(7, 3)] == [[[0, 3, 6]], [[1, 4], [2, 5]]]
    assert [x.tolist() for x in masked.masked_together(6, 3)] == [[[0, 3], [1, 4], [2, 5]]]
    assert [x.tolist() for x in masked.masked_together(3, "exact")] == [[[0], [1], [2]]]


def test_every_position_is_masked_once() -> None:
    for length in range(1, 40):
        for passes in ("exact", 2, 3, 8, 50):
            groups = masked.masked_together(length, passes)
            assert sorted(torch.cat([x.flatten() for x in groups]).tolist()) == list(range(length))
            assert sum(map(len, groups)) == (length if passes == "exact" else min(passes, length))


class Counts(torch.nn.Module):
    """A language model that gives every token the number of times that it reads it."""

    device = torch.device("cpu")
    config = SimpleNamespace(model_type="counts", position_embedding_type="rotary")

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        count_MV = torch.nn.functional.one_hot(input_ids, 24).sum(dim=1).float()
        return SimpleNamespace(logits=count_MV[:, None].expand(-1, input_ids.shape[1], -1))


def test_a_language_model_that_counts() -> None:
    """AARAR in 2 passes: A, R and R are masked together, A and A are left; then A and A, and A, R and R are left."""
    lm = LanguageModel(Counts(), np.arange(21), 23, (21,), (22,), "counts")
    map_LA = probability_map(lm, encode("AARAR"), Reading(passes=2))
    weights_LA = np.ones((5, N_AA))
    weights_LA[[0, 2, 4], 0] = np.e**2
    weights_LA[[1, 3], 0], weights_LA[[1, 3], 1] = np.e, np.e**2
    np.testing.assert_allclose(map_LA, weights_LA / weights_LA.sum(axis=1, keepdims=True), atol=1e-6)


def test_the_fast_path_is_taken_for_rotary_esm_alone(models) -> None:
    assert {name for name, lm in models.items() if esm.supports(lm.model)} == set(list(SAVE)[:4])


@pytest.mark.parametrize("at_once", [1, 60, 100_000])
@pytest.mark.parametrize("name", ["esm, token dropout", "bert"])
def test_map_does_not_depend_on_tokens_at_once(models, name, at_once, monkeypatch) -> None:
    expected_LA = probability_map(models[name], encode(SEQUENCES[0]))
    monkeypatch.setattr(masked, "TOKENS_AT_ONCE", at_once)
    np.testing.assert_allclose(probability_map(models[name], encode(SEQUENCES[0])), expected_LA, atol=1e-6)


@pytest.mark.parametrize("name", SAVE)
def test_the_masked_residue_itself_is_not_seen(models, name) -> None:
    before_LA = probability_map(models[name], encode("ACDEFGHIK"))
    after_LA = probability_map(models[name], encode("ACDEWGHIK"))
    np.testing.assert_allclose(after_LA[4], before_LA[4], atol=1e-6)
    assert all(np.abs(after_LA[j] - before_LA[j]).max() > 1e-5 for j in range(9) if j != 4)


def test_tokens_around_a_sequence(models) -> None:
    for name, before, after in [("esm", "<cls>", "<eos>"), ("bert", "[CLS]", "[SEP]"), ("roberta", "<s>", "</s>")]:
        lm = models[name]
        tokens = {"esm": ESM_TOKENS, "bert": BERT_TOKENS, "roberta": ROBERTA_TOKENS}[name]
        ids = masked.tokens_of(lm, encode("WX")).tolist()
        unknown = "X" if "X" in tokens else "<unk>"
        assert [tokens[i] for i in ids] == [before, "W", unknown, after]


def test_hidden_state_is_the_models_own(models) -> None:
    lm = models["esm, token dropout"]
    hidden_LC = hidden_rows(lm, encode("ACDE"))
    with torch.no_grad():
        expected = lm.model.esm(masked.tokens_of(lm, encode("ACDE"))[None])[0][0, 1:-1]
    np.testing.assert_allclose(hidden_LC, expected, atol=1e-6)
    assert hidden_LC.shape == (4, 16)


def test_longest_protein_of_absolute_positions(models) -> None:
    """40 positions: BERT spends 2 on [CLS] and [SEP], RoBERTa and ESM 2 more, as they count from <pad> + 1."""
    assert [models[name].longest for name in ("bert", "roberta", "esm, absolute", "esm")] == [38, 36, 36, None]
    for name in ("bert", "roberta", "esm, absolute"):
        lm = models[name]
        assert probability_map(lm, encode("A" * lm.longest)).shape == (lm.longest, N_AA)
        with pytest.raises(ValueError, match=rf"{lm.longest + 1} residues; .* at most {lm.longest}"):
            masked.tokens_of(lm, encode("A" * (lm.longest + 1)))
        assert probability_map(lm, encode("A" * (lm.longest + 1))).shape == (lm.longest + 1, N_AA)  # in windows
    assert probability_map(models["esm"], encode("A" * 50)).shape == (50, N_AA)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("name", SAVE)
def test_bf16_is_close(models, name, sequence) -> None:
    exact_LA = probability_map(models[name], encode(sequence))
    near_LA = probability_map(models[name], encode(sequence), BF16)
    np.testing.assert_allclose(near_LA, exact_LA, atol=0.01 if esm.supports(models[name].model) else 0.1)
    rows_MA = map_rows(models[name], encode(sequence), len(sequence) // 2, reading=BF16)
    np.testing.assert_allclose(rows_MA, near_LA[len(sequence) // 2 :], atol=0.02)


def test_vocabulary_without_tryptophan(tmp_path) -> None:
    save_bert(tmp_path, [token for token in BERT_TOKENS if token != "W"])
    with pytest.raises(ValueError, match=r"no token for \['W'\]; it is no protein model"):
        load(str(tmp_path))


def test_tokenizer_without_mask(tmp_path) -> None:
    save_roberta(tmp_path, mask=None)
    with pytest.raises(ValueError, match="no mask token, so it is not a masked language model"):
        load(str(tmp_path))


def test_no_code_of_a_model_folder_is_run(tmp_path) -> None:
    save_esm(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    remote = {"auto_map": {"AutoModelForMaskedLM": "evil.Model"}, "model_type": "evil"}
    (tmp_path / "config.json").write_text(json.dumps(config | remote))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Model: pass\n")
    with pytest.raises(ValueError):
        load(str(tmp_path))
    assert not (tmp_path / "ran").exists()
