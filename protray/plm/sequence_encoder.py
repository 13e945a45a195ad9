"""A masked language model inside of another network: vectors of the residues of a batch, through which gradient flows.

Shape key:  B proteins   L residues, padded   T tokens   R windows, one for each chain of a protein or more
            M residues that are real   C channels
"""

import shutil
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from protray.models.layers import real_residues
from protray.models.structure.structure_batch import MASKED, StructureBatch
from protray.plm import masked
from protray.plm.hub.folder import TOKENIZER
from protray.plm.reading import windows
from protray.plm.shipped import resolve
from protray.seq.alphabet import UNKNOWN

SEEN = 32  # lines that are remembered: chains of complexes, of which mutants differ in one


class SequenceEncoder(nn.Module):
    """The last hidden layer for each residue; the language model reads its mask token where a type is masked.

    Each chain of a complex is read by itself, with the tokens that stand around a sequence.
    """

    token_of_type: Tensor

    def __init__(self, name: str, *, trained: bool) -> None:
        """Load a language model by hub name or folder; one that is not `trained` has no gradient.

        Neither has dropout: a language model that learns a hundredth as fast as what stands on it equals a frozen one
        in the limit, and at no other.
        """
        super().__init__()
        lm = masked.load(name)
        self.name, self._whole = name, [lm.model]  # with its head, which has no part in the vectors
        self.model, self.before, self.after = lm.model.base_model, lm.before, lm.after
        self.channels = int(lm.model.config.hidden_size)
        self.longest = lm.longest
        self.padding = int(getattr(lm.model.config, "pad_token_id", None) or 0)
        tokens = [*lm.token_of_code[: UNKNOWN + 1].tolist(), lm.mask_token]
        assert len(tokens) == MASKED + 1
        self.register_buffer("token_of_type", torch.tensor(tokens), persistent=False)
        for weight in self.model.parameters():
            weight.requires_grad_(trained)
        self.trained = trained
        self._seen: dict[bytes, Tensor] = {}

    def save(self, folder: Path) -> None:
        """Write it as Transformers does, with its tokenizer: a folder that `--lm` takes."""
        self._whole[0].save_pretrained(folder)
        source = Path(resolve(self.name))
        if not source.is_dir():
            source = Path(snapshot_download(self.name, allow_patterns=list(TOKENIZER)))
        for pattern in TOKENIZER:
            for file in source.glob(pattern):
                shutil.copy(file, folder)

    def train(self, mode: bool = True) -> "SequenceEncoder":
        """The language model stays in evaluation mode."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, batch: StructureBatch) -> Tensor:
        """Shape (B, L, C), 0 at padding; of residues of a longer sequence those that this has at their places."""
        text = batch.text
        if text is None:
            return self._read(batch.type_BL, batch.chain_BL, batch.real_BL)
        whole_BWC = self._read(text.type_BW, text.chain_BW, text.real_BW)
        found_BLC = whole_BWC.gather(1, text.place_BL[:, :, None].expand(-1, -1, self.channels))
        return found_BLC * batch.real_BL[:, :, None]

    def _read(self, type_BL: Tensor, chain_BL: Tensor, real_BL: Tensor) -> Tensor:
        """Shape (B, L, C), 0 at padding; a chain that is longer than the model reads is read in overlapping windows."""
        device = type_BL.device
        rows = [
            (row, start, window)
            for row in range(len(type_BL))
            for start, stop in _chains(chain_BL[row, : int(real_BL[row].sum())])
            for window in windows(stop - start, self.longest)
        ]
        before, after = (torch.tensor(part, device=device, dtype=torch.long) for part in (self.before, self.after))
        lines = [
            torch.cat([before, self.token_of_type[type_BL[row, start + window.first : start + window.last]], after])
            for row, start, window in rows
        ]
        ahead = len(self.before)
        width = type_BL.shape[1]
        places, parts = [], []
        for hidden_TC, (row, start, window) in zip(self._hidden(lines), rows, strict=True):
            places.append(torch.arange(window.start, window.stop) + start + row * width)
            parts.append(hidden_TC[ahead - window.first + window.start : ahead - window.first + window.stop])
        flat_NC = parts[0].new_zeros(type_BL.numel(), self.channels)
        found_NC = flat_NC.index_copy(0, torch.cat(places).to(device), torch.cat(parts))
        return found_NC.view(*type_BL.shape, self.channels)

    def _hidden(self, lines: list[Tensor]) -> list[Tensor]:
        """The last hidden layer of each line of tokens, (T, C); one that does not learn remembers the last lines."""
        if self.trained:
            return self._pass(lines)
        keys = [line.cpu().numpy().tobytes() for line in lines]
        new = {key: line for key, line in zip(keys, lines, strict=True) if key not in self._seen}
        found = {key: self._seen[key] for key in keys if key not in new}
        if new:
            found |= dict(zip(new, self._pass(list(new.values())), strict=True))
        others = {key: hidden_TC for key, hidden_TC in self._seen.items() if key not in found}
        self._seen = dict(list((others | found).items())[-SEEN:])
        return [found[key].to(lines[0].device) for key in keys]

    def _pass(self, lines: list[Tensor]) -> list[Tensor]:
        tokens_RT = pad_sequence(lines, batch_first=True, padding_value=self.padding)
        length_R = torch.tensor([len(line) for line in lines], device=tokens_RT.device)
        seen_RT = real_residues(length_R, tokens_RT.shape[1]).to(tokens_RT.dtype)
        gradient = self.trained and torch.is_grad_enabled()
        # not in inference mode, since what is remembered may be part of a training later
        with torch.inference_mode(False), torch.set_grad_enabled(gradient):
            hidden_RTC = self.model(input_ids=tokens_RT, attention_mask=seen_RT).last_hidden_state
        return [hidden_TC[: len(line)] for hidden_TC, line in zip(hidden_RTC, lines, strict=True)]


def _chains(chain_L: Tensor) -> list[tuple[int, int]]:
    """First residue and the one behind the last of each chain of a protein."""
    cuts = (torch.nonzero(chain_L[1:] != chain_L[:-1]).flatten() + 1).tolist()
    return list(zip([0, *cuts], [*cuts, len(chain_L)], strict=True))
