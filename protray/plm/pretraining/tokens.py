"""The vocabulary of ESM models, for the language models that protray trains itself."""

from pathlib import Path

import numpy as np

from protray.seq.alphabet import AMINO_ACIDS, UNKNOWN

# The 33 tokens of ESM-1b and ESM-2 in their order, so that any tool that knows ESM knows ours (Rives et al. 2021)
_SPELLED = "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>"
ESM_TOKENS: list[str] = [*_SPELLED.split()]
CLS, PADDING, EOS, MASK = (ESM_TOKENS.index(token) for token in ("<cls>", "<pad>", "<eos>", "<mask>"))

# residue code (0..19, UNKNOWN) -> token id
TOKEN_OF_CODE = np.array([ESM_TOKENS.index(letter) for letter in AMINO_ACIDS + "X"], dtype=np.int64)
assert TOKEN_OF_CODE.size == UNKNOWN + 1


def save_tokenizer(folder: Path) -> None:
    """Write the files that ``AutoTokenizer.from_pretrained(folder)`` needs."""
    from transformers import EsmTokenizer

    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(ESM_TOKENS))
    EsmTokenizer(vocab_file=str(vocabulary)).save_pretrained(folder)
