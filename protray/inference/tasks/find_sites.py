"""A finished network for interaction sites on new proteins, with the embeddings that it was trained with.

Shape key:  L residues   3 x, y, z in Å
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from protray.data.location import Location
from protray.data.sites.table import SiteProtein
from protray.inference.embeddings.residues import LanguageModel, ResidueEmbedder, open_structure_model
from protray.training.tasks.folder import STRUCTURE_MODEL
from protray.training.tasks.sites.export import SiteModel, load_site_net
from protray.training.tasks.sites.fit import predict


class SiteFinder:
    """Gives the probability of each residue; on the CPU or a GPU."""

    def __init__(self, model: SiteModel, embed: ResidueEmbedder | None = None, device: str = "cpu") -> None:
        self.model, self.embed, self.device = model, embed, device

    @classmethod
    def open(cls, folder: Path | Location, device: str = "cpu") -> "SiteFinder":
        """Read a folder in ``model`` of jobs/sites.py, at a path or an address; ValueError if it is none."""
        model = load_site_net(folder)
        embed: ResidueEmbedder | None = None
        if "lm" in model.embeddings:
            embed = LanguageModel.open(model.embeddings["lm"], device)
        elif "noise" in model.embeddings:
            embed = open_structure_model(Location(folder) / STRUCTURE_MODEL, model.embeddings["noise"], device)
        return cls(model, embed, device)

    def embedded(
        self, protein: SiteProtein, atoms_LA3: np.ndarray | None = None, index_L: np.ndarray | None = None
    ) -> SiteProtein:
        """The protein with what the network reads; ValueError if it cannot be had."""
        if self.embed is None:
            return protein
        residue_LC = self.embed(protein.sequence, atoms_LA3, index_L)
        if not np.isfinite(residue_LC).all():
            raise ValueError("its embedding is not finite")
        return replace(protein, residue_LC=residue_LC.astype(np.float16))

    def __call__(self, proteins: Sequence[SiteProtein]) -> list[np.ndarray]:
        """Probabilities of being a site of each protein's residues, float32, shape (L,)."""
        return predict(self.model.net, proteins, self.model.wanted, self.device)
