"""How a language model spells residues: token ids out of its vocabulary, not out of what a tokenizer does to letters.

A tokenizer without ``do_lower_case: false`` reads every residue as unknown, and others need spaces between them; the
vocabulary is what the model was trained with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # tokenizers of Transformers

import numpy as np

from protray.plm.hub.loading import refused_in_one_line
from protray.plm.shipped import resolve
from protray.seq.alphabet import AMINO_ACIDS
from protray.seq.errors import first_of

WORD = "\u2581"  # SentencePiece's mark of a new word, which residues between spaces are
FORMS = ("{}", WORD + "{}", "\u0120{}")  # .. and that of byte-level BPE
MOST_TOKENS = 1_000  # a vocabulary with more is of words, or of groups of residues


@dataclass(frozen=True)
class Spelling:
    """Token ids."""

    token_of_code: np.ndarray  # residue code (0..20) -> token id
    mask_token: int
    before: tuple[int, ...]  # in front of a sequence, such as <cls>
    after: tuple[int, ...]  # behind it, such as <eos>


def read_spelling(name: str, n_embeddings: int) -> Spelling:
    """Read the tokenizer of a model, by hub name or folder, that has so many token embeddings.

    Raises ValueError naming what its vocabulary lacks.
    """
    from transformers import AutoTokenizer

    with refused_in_one_line(name):
        tokenizer = AutoTokenizer.from_pretrained(resolve(name), trust_remote_code=False)
        vocabulary: dict[str, int] = tokenizer.get_vocab()
    try:
        return _spelling(tokenizer, vocabulary, n_embeddings)
    except ValueError as error:
        raise ValueError(f"language model {name}: {error}") from None


def _spelling(tokenizer: Any, vocabulary: dict[str, int], n_embeddings: int) -> Spelling:
    words = [token for token in vocabulary if token.strip() and token not in tokenizer.all_special_tokens]
    form = _form(tokenizer, vocabulary)
    if tokenizer.mask_token_id is None:
        raise ValueError("it has no mask token, so it is not a masked language model")
    if len(words) > MOST_TOKENS:
        raise ValueError(
            f"its vocabulary has {len(words):,} tokens, of words or groups of residues; maps need residues"
        )
    unknown = vocabulary.get(form.format("X"), tokenizer.unk_token_id)
    if unknown is None:
        raise ValueError("its vocabulary has neither X nor an unknown token")
    codes = [vocabulary[form.format(letter)] for letter in AMINO_ACIDS]
    before, after = around(tokenizer)
    _check_apart(tokenizer, codes)
    highest = max(*codes, unknown, tokenizer.mask_token_id, *before, *after, *(vocabulary[word] for word in words))
    if highest >= n_embeddings:
        raise ValueError(
            f"its tokenizer has tokens up to number {highest}, its weights only {n_embeddings}; one of the two is of "
            "another model"
        )
    return Spelling(np.array([*codes, unknown]), tokenizer.mask_token_id, before, after)


def _form(tokenizer: Any, vocabulary: Mapping[str, int]) -> str:
    """How residues stand in the vocabulary; of several ways the one in which the tokenizer itself reads them."""
    own = tokenizer(" ".join(AMINO_ACIDS), add_special_tokens=False)["input_ids"]
    complete = [form for form in FORMS if not _missing(form, vocabulary)]
    for form in complete:
        if [vocabulary[form.format(letter)] for letter in AMINO_ACIDS] == own:
            return form
    if complete:
        return complete[0]
    if own == [vocabulary.get(letter.lower()) for letter in AMINO_ACIDS]:
        return _Lower("{}")
    missing = min((_missing(form, vocabulary) for form in FORMS), key=len)
    shown = str(missing) if len(missing) < 5 else first_of(missing, 3)
    raise ValueError(f"its vocabulary has no token for {shown}; it is no protein model")


class _Lower(str):
    """The form of a vocabulary that has residues in lower case, to which its tokenizer turns them."""

    def format(self, letter: str) -> str:  # type: ignore[override]
        return letter.lower()


def _missing(form: str, vocabulary: Mapping[str, int]) -> list[str]:
    return [letter for letter in AMINO_ACIDS if form.format(letter) not in vocabulary]


def around(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokens before and behind a sequence: what the tokenizer puts around one residue, however it reads that."""
    whole, bare = tokenizer("A")["input_ids"], tokenizer("A", add_special_tokens=False)["input_ids"]
    for at in range(len(whole)):
        if bare and whole[at : at + len(bare)] == bare:
            return tuple(whole[:at]), tuple(whole[at + len(bare) :])
    raise ValueError("its tokenizer makes nothing of a residue; are all of its files there?")


def _check_apart(tokenizer: Any, codes: Sequence[int]) -> None:
    """Raise ValueError unless amino acids have tokens of their own."""
    special = {tokenizer.unk_token_id, tokenizer.mask_token_id, tokenizer.cls_token_id, tokenizer.eos_token_id}
    shared = [
        letter for letter, code in zip(AMINO_ACIDS, codes, strict=True) if codes.count(code) > 1 or code in special
    ]
    if shared:
        raise ValueError(f"its vocabulary has no tokens of their own for {first_of(shared, 5)}; it is no protein model")
    if tokenizer.mask_token_id == tokenizer.unk_token_id:
        raise ValueError("its mask token is not in its vocabulary, so it is not a masked language model")
