"""Residues are the tokens of the vocabulary, whatever the tokenizer does to letters."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from protray.plm.masked import LanguageModel, load, probability_map, tokens_of
from protray.seq.alphabet import AMINO_ACIDS, encode

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PROTBERT = [*SPECIAL, *"LAGVESIKRDTPNQFYMHCWXUBZO"]  # the order of Rostlab/prot_bert
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
        "max_position_embeddings": 40, "initializer_range": 0.3}  # fmt: skip
SEQUENCE = "MKTAYIAKQRXLEDWCCHFG"


def save_bert(folder: Path, tokens: list[str], vocab_size: int | None = None, **tokenizer: object) -> Path:
    """As ProtBert is published: a list of tokens, and what the tokenizer does beside it."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(vocab_size=vocab_size or len(tokens), **SIZE)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"} | tokenizer))
    return folder


def save_sentencepiece(folder: Path, letters: list[str], split: bool = True) -> Path:
    """As ProtAlbert: residues are words, which begin with the mark of SentencePiece."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import AlbertConfig, AlbertForMaskedLM, PreTrainedTokenizerFast

    tokens = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", *letters]
    torch.manual_seed(0)
    AlbertForMaskedLM(AlbertConfig(vocab_size=len(tokens), embedding_size=8, **SIZE)).save_pretrained(folder)
    raw = Tokenizer(models.Unigram([(token, 0.0) for token in tokens], unk_id=1))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()  # type: ignore[assignment]
    raw.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])  # type: ignore[assignment]
    PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="<unk>", pad_token="<pad>", mask_token="[MASK]", cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)  # fmt: skip
    return folder


def spelled(lm: LanguageModel, tokens: list[str]) -> list[str]:
    return [tokens[id] for id in tokens_of(lm, encode(SEQUENCE)).tolist()]


def test_a_tokenizer_that_turns_letters_into_lower_case_changes_nothing(tmp_path) -> None:
    lowers = load(str(save_bert(tmp_path / "lowers", PROTBERT)))
    keeps = load(str(save_bert(tmp_path / "keeps", PROTBERT, do_lower_case=False)))
    assert spelled(lowers, PROTBERT) == ["[CLS]", *SEQUENCE, "[SEP]"]
    found_LA = probability_map(lowers, encode(SEQUENCE))
    np.testing.assert_array_equal(found_LA, probability_map(keeps, encode(SEQUENCE)))
    expected_LA = []
    for position in range(len(SEQUENCE)):
        words = ["[CLS]", *SEQUENCE, "[SEP]"]
        words[position + 1] = "[MASK]"
        ids = torch.tensor([[PROTBERT.index(word) for word in words]])
        with torch.no_grad():
            logits_V = lowers.model(input_ids=ids).logits[0, position + 1]
        expected_LA.append(logits_V[[PROTBERT.index(letter) for letter in AMINO_ACIDS]].softmax(-1).numpy())
    np.testing.assert_allclose(found_LA, expected_LA, atol=1e-6)


def test_a_vocabulary_in_lower_case(tmp_path) -> None:
    tokens = [*SPECIAL, *AMINO_ACIDS.lower(), "x"]
    lm = load(str(save_bert(tmp_path / "lm", tokens)))
    assert spelled(lm, tokens) == ["[CLS]", *SEQUENCE.lower(), "[SEP]"]
    with pytest.raises(ValueError, match="its vocabulary has no token for A, R, N and 17 more; it is no protein model"):
        load(str(save_bert(tmp_path / "keeps", tokens, do_lower_case=False)))


def test_letters_that_are_words_of_sentencepiece(tmp_path) -> None:
    marked = ["\u2581" + letter for letter in AMINO_ACIDS + "X"]
    tokens = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", *marked]
    lm = load(str(save_sentencepiece(tmp_path / "lm", marked)))
    assert spelled(lm, tokens) == ["[CLS]", *("\u2581" + letter for letter in SEQUENCE), "[SEP]"]
    assert probability_map(lm, encode(SEQUENCE)).shape == (20, 20)
    assert lm.longest == 38
    both = [*AMINO_ACIDS, *marked]  # of two forms, the one in which the tokenizer reads residues between spaces
    lm = load(str(save_sentencepiece(tmp_path / "both", both)))
    assert spelled(lm, [*tokens[:5], *both])[1:-1] == ["\u2581" + letter for letter in SEQUENCE]


@pytest.mark.parametrize(
    ("tokens", "more", "says"),
    [
        ([token for token in PROTBERT if token not in "WC"], {}, r"no token for \['C', 'W'\]; it is no protein model"),
        ([*SPECIAL, *"ACGTN"], {}, "no token for R, D, Q and 12 more; it is no protein model"),
        ([*PROTBERT, *map(str, range(1_000))], {}, "its vocabulary has 1,025 tokens, of words or groups of residues"),
        (PROTBERT, {"vocab_size": 24}, "has tokens up to number 29, its weights only 24; one of"),
        ([token for token in PROTBERT if token != "[MASK]"], {}, "has tokens up to number 29, its weights only 29"),
    ],
)  # fmt: skip
def test_vocabularies_of_something_else(tmp_path, tokens, more, says) -> None:
    save_bert(tmp_path, tokens, **more)
    with pytest.raises(ValueError, match=f"^language model {tmp_path}: .*{says}") as found:
        load(str(tmp_path))
    assert len(str(found.value)) <= 300


def test_amino_acids_need_tokens_of_their_own(tmp_path) -> None:
    """Of a list of words as JSON, two may have one number."""
    save_sentencepiece(tmp_path, [*AMINO_ACIDS, "X"])
    whole = json.loads((tmp_path / "tokenizer.json").read_text())
    numbers = {token: number for number, (token, _) in enumerate(whole["model"]["vocab"])}
    whole["model"] = {"type": "WordLevel", "vocab": numbers | {"W": numbers["<unk>"]}, "unk_token": "<unk>"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    with pytest.raises(ValueError, match="has no tokens of their own for W; it is no protein model"):
        load(str(tmp_path))


def test_more_embeddings_than_tokens_are_padding(tmp_path) -> None:
    lm = load(str(save_bert(tmp_path, PROTBERT, vocab_size=64)))
    assert probability_map(lm, encode(SEQUENCE)).shape == (20, 20)


def test_positions_that_are_counted_from_the_padding_on(tmp_path) -> None:
    """CamemBERT and XLM-RoBERTa count as RoBERTa does: of 40 positions, 2 are reserved, and 2 are [CLS] and [SEP]."""
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    save_bert(tmp_path, PROTBERT)
    XLMRobertaForMaskedLM(XLMRobertaConfig(vocab_size=30, pad_token_id=1, **SIZE)).save_pretrained(tmp_path)
    lm = load(str(tmp_path))
    assert lm.longest == 36
    assert probability_map(lm, encode("A" * 36)).shape == (36, 20)
    assert probability_map(lm, encode("A" * 37)).shape == (37, 20)  # in windows
