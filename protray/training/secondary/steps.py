"""What one training step computes, for each network of PSSM-Distil and of its rivals: batch -> loss and its parts.

Every loss is a share of the mean over the global batch: the sum over the residues at hand, divided by the number in the
whole batch.  The shares of all workers and threads add up to the mean, and their gradients to its gradient.

Shape key:  B proteins   L residues   A amino-acid types (20)   S states   C channels
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from protray.data.secondary.collate import Batch
from protray.losses import distil
from protray.losses.distil import DistilWeights
from protray.models.secondary.enhance_net import EnhanceNet
from protray.models.secondary.ss_classifier import SsClassifier, three_states

Count = Literal["residues", "labels", "deep_residues"]  # of `Totals`
View = Literal["high", "low", "bert"]  # which PSSM a classifier reads: X_h, X_l or X_b


def seen(batch: Batch, view: View) -> Tensor:
    """The PSSM that a classifier reads, (B, L, 20)."""
    pssm_BLA = {"high": batch.high_BLA, "low": batch.low_BLA, "bert": batch.bert_BLA}[view]
    assert pssm_BLA is not None
    return pssm_BLA


def extra_features(batch: Batch, channels: int) -> Tensor | None:
    """What a network with `channels` extra inputs reads: X_b and the language model's hidden state."""
    if channels == 0:
        return None
    parts = [part for part in (batch.bert_BLA, batch.hidden_BLC) if part is not None]
    extra_BLC = torch.cat(parts, dim=-1) if parts else torch.empty(0)
    if extra_BLC.shape[-1] != channels:
        raise ValueError(
            f"the network reads {channels} channels of a language model, the batch has {extra_BLC.shape[-1]}; "
            "use the language model it was trained with"
        )
    return extra_BLC


def label_loss(logits_BLS: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy per residue, (B, L): over eight states where they are known, else over their sum in three."""
    three_BL = distil.cross_entropy(three_states(logits_BLS).log_softmax(dim=-1), batch.ss3_BL)
    if logits_BLS.shape[-1] == 3:
        return three_BL
    eight_BL = distil.cross_entropy(logits_BLS.log_softmax(dim=-1), batch.ss8_BL)
    return torch.where(batch.ss8_BL >= 0, eight_BL, three_BL)


class Classify(nn.Module):
    """Train a classifier on labels alone, its input optionally enhanced by a frozen F_e."""

    per: ClassVar[dict[str, Count]] = {"loss": "labels", "loss_ce": "labels"}  # what each reported mean is over

    def __init__(self, classifier: SsClassifier, view: View, enhancer: EnhanceNet | None = None) -> None:
        super().__init__()
        self.classifier = classifier
        self.view: View = view
        self.enhancer = enhancer.requires_grad_(False) if enhancer else None

    def logits(self, batch: Batch) -> Tensor:
        pssm_BLA = seen(batch, self.view)
        if self.enhancer is not None:
            with torch.no_grad():
                pssm_BLA = self.enhancer(batch.codes_BL, pssm_BLA, None, batch.lengths_B)
        extra_BLC = extra_features(batch, self.classifier.config.extra)
        return self.classifier(batch.codes_BL, pssm_BLA, batch.lengths_B, extra_BLC, batch.noise)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss_BL = label_loss(self.logits(batch), batch)
        loss = distil.mean(loss_BL, batch.mask_BL, batch.totals.labels)
        return loss, {"loss_ce": loss.detach()}


class Reconstruct(nn.Module):
    """Train F_e to give X_h back from X_l by Eq. 8 alone: the `Bagging` baseline (Guo et al. 2020)."""

    per: ClassVar[dict[str, Count]] = {"loss": "residues", "loss_m": "residues"}

    def __init__(self, enhancer: EnhanceNet, weights: DistilWeights) -> None:
        super().__init__()
        self.enhancer = enhancer
        self.weights = weights

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        enhanced_BLA = self.enhancer(batch.codes_BL, batch.low_BLA, batch.bert_BLA, batch.lengths_B, noise=batch.noise)
        loss_BL = distil.reconstruction(enhanced_BLA, batch.high_BLA, self.weights)
        loss = distil.mean(loss_BL, batch.mask_BL, batch.totals.residues)
        return loss, {"loss_m": loss.detach()}


class Distil(nn.Module):
    """Train F_e and F_s against a frozen teacher by Eq. 9 (Algorithm 1, lines 3 to 10).

    A shallow protein has no high-quality PSSM, so Eq. 2, 7 and 8 say nothing about it: it enters by its labels alone,
    as the whole of L_d.
    """

    per: ClassVar[dict[str, Count]] = {
        "loss": "residues",
        "loss_d": "residues",
        "loss_m": "residues",
        "loss_t": "residues",
        "active_hinges": "deep_residues",
    }

    def __init__(
        self, enhancer: EnhanceNet, student: SsClassifier, teacher: SsClassifier | None, weights: DistilWeights
    ) -> None:
        super().__init__()
        self.enhancer = enhancer
        self.student = student
        # gradients pass through it to X_e, but it does not learn; None in a model that only predicts
        self.teacher = teacher.requires_grad_(False) if teacher else None
        self.weights = weights
        self._known: dict[View, dict[str, Tensor]] = {"high": {}, "bert": {}}  # F_t(S, X_h) and F_t(S, X_b) by protein

    def enhance(self, batch: Batch) -> Tensor:
        """X_e = F_e(S, X_b, X_l), Eq. 4; (B, L, 20)."""
        hidden_BLC = batch.hidden_BLC if self.enhancer.config.extra else None
        return self.enhancer(batch.codes_BL, batch.low_BLA, batch.bert_BLA, batch.lengths_B, hidden_BLC, batch.noise)

    def logits(self, batch: Batch, enhanced_BLA: Tensor | None = None) -> Tensor:
        """F_s(S, X_e)."""
        enhanced_BLA = self.enhance(batch) if enhanced_BLA is None else enhanced_BLA
        extra_BLC = extra_features(batch, self.student.config.extra)
        return self.student(batch.codes_BL, enhanced_BLA, batch.lengths_B, extra_BLC, batch.noise, "student")

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        weights, mask_BL = self.weights, batch.mask_BL
        deep_BL = mask_BL & batch.deep_B[:, None]
        residues = max(batch.totals.residues, 1.0)

        enhanced_BLA = self.enhance(batch)
        logits_BLS = self.logits(batch, enhanced_BLA)
        high_BLS = self._teach_once(batch, "high")
        label_BL = label_loss(logits_BLS, batch)
        kl_BL = distil.kl_marginal(high_BLS.log_softmax(-1), three_states(logits_BLS).log_softmax(-1), weights)
        guided_BL = distil.distillation(label_BL, kl_BL, weights)
        loss_d = distil.mean(torch.where(deep_BL, guided_BL, label_BL), mask_BL, residues)
        zero = loss_d.new_zeros(())

        loss_m = loss_t = active = zero
        if weights.beta:
            loss_m = distil.mean(distil.reconstruction(enhanced_BLA, batch.high_BLA, weights), deep_BL, residues)
        if weights.gamma:
            low_BLS = self._teach(batch, batch.low_BLA)
            bert_BLS = low_BLS if batch.bert_BLA is None else self._teach_once(batch, "bert")
            enhanced_BLS = self._teacher_of(batch, enhanced_BLA)
            hinge_BL = distil.triplet(
                enhanced_BLS.log_softmax(-1), high_BLS.log_softmax(-1), distil.negative(low_BLS, bert_BLS), weights
            )
            loss_t = distil.mean(hinge_BL, deep_BL, residues)
            active = distil.mean((hinge_BL > 0).float(), deep_BL, max(batch.totals.deep_residues, 1.0))
        loss = distil.total(loss_d, loss_m, loss_t, weights)
        parts = {"loss_d": loss_d, "loss_m": loss_m, "loss_t": loss_t, "active_hinges": active}
        return loss, {name: part.detach() for name, part in parts.items()}

    def _teacher_of(self, batch: Batch, pssm_BLA: Tensor) -> Tensor:
        """F_t(S, X); (B, L, 3)."""
        assert self.teacher is not None
        return three_states(self.teacher(batch.codes_BL, pssm_BLA, batch.lengths_B))

    @torch.no_grad()
    def _teach(self, batch: Batch, pssm_BLA: Tensor) -> Tensor:
        """The same for a PSSM that is not trained."""
        return self._teacher_of(batch, pssm_BLA)

    def _teach_once(self, batch: Batch, view: View) -> Tensor:
        """The same for X_h or X_b, which no epoch changes: each protein is computed once and remembered."""
        known = self._known[view]
        if any(name not in known for name in batch.ids):
            logits_BLS = self._teach(batch, seen(batch, view))
            for row, (name, length) in enumerate(zip(batch.ids, batch.lengths_B.tolist(), strict=True)):
                known[name] = logits_BLS[row, :length]
        return pad_sequence([known[name] for name in batch.ids], batch_first=True)
