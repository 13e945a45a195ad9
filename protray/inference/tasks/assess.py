"""A finished GraphQA on new models of proteins, with the embeddings that it was trained with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from protray.data.decoys.graphs import Extras, no_extras
from protray.data.decoys.table import Decoy
from protray.data.location import Location
from protray.inference.embeddings.decoys import LanguageModelEmbeddings, open_decoy_embeddings
from protray.inference.embeddings.residues import LanguageModel
from protray.models.tasks.graphqa import GraphQa
from protray.training.tasks.folder import STRUCTURE_MODEL
from protray.training.tasks.quality.export import load_graphqa, read_embeddings
from protray.training.tasks.quality.fit import predict

AT_ONCE = 4  # models that are one graph
ROOM = 1 << 26  # bytes of embeddings to keep: each model is seen once


class Assessor:
    """Gives the scores of models; on the CPU or a GPU."""

    def __init__(self, net: GraphQa, extras: Extras = no_extras, device: str = "cpu") -> None:
        self.net, self.extras, self.device = net, extras, device

    @classmethod
    def open(cls, folder: Path | Location, device: str = "cpu") -> "Assessor":
        """Read a folder in ``model`` of jobs/quality.py, at a path or an address; ValueError if it is none."""
        net, reads = load_graphqa(folder), read_embeddings(folder)
        if "lm" in reads:
            return cls(net, LanguageModelEmbeddings(LanguageModel.open(reads["lm"], device)), device)
        if "noise" in reads:
            model = Location(folder) / STRUCTURE_MODEL
            return cls(net, open_decoy_embeddings(model, reads["noise"], device, ROOM), device)
        return cls(net, no_extras, device)

    def __call__(self, models: Sequence[Decoy]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Scores of residues (L, S) and of the whole (S,) of each model, as in `LOCAL` and `GLOBAL`."""
        return predict(self.net, models, self.extras, AT_ONCE, self.device)
