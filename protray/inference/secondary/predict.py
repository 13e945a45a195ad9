"""A finished model on new proteins: an alignment, or the bare sequence, -> states, probabilities, enhanced PSSM.

Shape key:  N aligned sequences   L residues   A amino-acid types (20)   C channels
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from protray.data.location import Location
from protray.data.secondary.collate import Example, Totals, collate
from protray.models.secondary.ss_classifier import three_states
from protray.plm.masked import LanguageModel, hidden_rows, load, probability_map
from protray.seq.downsample import LOW_QUALITY
from protray.seq.pseudo_msa import pseudo_pssm
from protray.seq.pssm import count_residues, pssm
from protray.seq.secondary import IGNORE, STATES
from protray.training.secondary.export import ModelCard, load_model
from protray.training.secondary.steps import Distil


@dataclass(frozen=True)
class Query:
    """A protein to predict; row 0 of its alignment is the protein itself, and may be the only one."""

    id: str
    msa_NL: np.ndarray
    prob_LA: np.ndarray | None = None  # of the language model; computed if not given
    hidden_LC: np.ndarray | None = None


@dataclass(frozen=True)
class Prediction:
    id: str
    msa_count: int
    prob_L3: np.ndarray  # H, E, C
    pssm_enhanced_LA: np.ndarray  # X_e, nats

    @property
    def ss3(self) -> str:
        return "".join(STATES[state] for state in self.prob_L3.argmax(axis=1))


@dataclass(frozen=True)
class Predictor:
    """F_e and F_s with their settings, and the language model they were trained with."""

    card: ModelCard
    step: Distil
    lm: LanguageModel | None  # None as well where the networks read nothing of it

    @classmethod
    def open(cls, folder: Path | Location, device: str = "cpu", with_lm: bool = True) -> "Predictor":
        """Load a model folder, at a path or an address; without the language model, queries bring its outputs along."""
        card, step = load_model(folder)
        return cls(card, step.to(device), load(card.lm, device=device) if with_lm and card.reads_lm else None)

    @torch.no_grad()
    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        """Predict proteins in one batch, in the order given."""
        device = str(next(self.step.parameters()).device)
        batch = collate([self._example(query) for query in queries], Totals()).to(device)
        enhanced_BLA = self.step.enhance(batch)
        prob_BL3 = three_states(self.step.logits(batch, enhanced_BLA)).softmax(dim=-1).cpu().numpy()
        return [
            Prediction(
                query.id, len(query.msa_NL) - 1, prob_BL3[row, : query.msa_NL.shape[1]],
                enhanced_BLA[row, : query.msa_NL.shape[1]].cpu().numpy(),
            )
            for row, query in enumerate(queries)
        ]  # fmt: skip

    def _example(self, query: Query) -> Example:
        codes_L, config = query.msa_NL[0], self.card.features
        natural_LA = pssm(count_residues(query.msa_NL), len(query.msa_NL), config.background, config.pseudocount)
        enhance = self.card.enhance
        hidden_LC = self._hidden(query) if enhance.extra else None
        unlabelled_L = np.full(len(codes_L), IGNORE, dtype=np.int8)
        return Example(
            id=query.id, codes_L=codes_L, ss3_L=unlabelled_L, ss8_L=unlabelled_L,
            deep=len(query.msa_NL) - 1 > LOW_QUALITY, high_LA=natural_LA, low_LA=natural_LA,
            bert_LA=self._bert(query) if enhance.reads_lm and enhance.bert else None, hidden_LC=hidden_LC,
        )  # fmt: skip

    def _bert(self, query: Query) -> np.ndarray:
        config, codes_L = self.card.features, query.msa_NL[0]
        prob_LA = query.prob_LA
        if prob_LA is None:
            prob_LA = probability_map(self._lm, codes_L, self.card.reading)
        key = (config.seed, query.id)
        return pseudo_pssm(prob_LA, codes_L, key, config.drawing, config.background, config.pseudocount)

    def _hidden(self, query: Query) -> np.ndarray:
        if query.hidden_LC is not None:
            return query.hidden_LC
        # as stored in training: rounded to half precision
        return hidden_rows(self._lm, query.msa_NL[0], self.card.reading).astype(np.float16).astype(np.float32)

    @property
    def _lm(self) -> LanguageModel:
        if self.lm is None:
            raise ValueError("this predictor was opened without its language model; give prob_LA and hidden_LC")
        return self.lm
