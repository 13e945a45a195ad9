"""The trainings that make up a PSSM-Distil run: which network, on which proteins, from which input.

Algorithm 1 is two stages, ``teacher`` and ``protray``; the others are its rivals and its ablations.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from torch import Tensor, nn

from protray.data.secondary.dataset import Proteins
from protray.data.secondary.features import Lowering
from protray.losses.distil import DistilWeights
from protray.models.secondary.enhance_net import EnhanceConfig, EnhanceNet
from protray.models.secondary.ss_classifier import ClassifierConfig, SsClassifier
from protray.seq.alphabet import N_AA
from protray.seq.downsample import LOW_QUALITY
from protray.training.secondary.fit import FitConfig
from protray.training.secondary.steps import Classify, Distil, Reconstruct

Which = Literal["deep", "shallow", "all"]
Ablation = Literal["bert", "cl", "mse", "enhance"]
Rivals = Literal["all", "plain"]


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The shapes of F_t, F_s and F_e, and how they are trained."""

    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    enhance: EnhanceConfig = field(default_factory=EnhanceConfig)
    fit: FitConfig = field(default_factory=FitConfig)


SMALL = Networks()
# for ten times the sample's proteins: larger batches keep the cores busy, and so many proteins need fewer epochs
MEDIUM = Networks(
    classifier=ClassifierConfig(hidden=192),
    enhance=EnhanceConfig(hidden=192, filters=192),
    fit=FitConfig(epochs=10, per_batch=64),
)
PAPER = Networks(
    classifier=ClassifierConfig(hidden=400, dropout=0.75, states=3),
    enhance=EnhanceConfig(hidden=400, filters=300, dropout=0.75, residual=False),
    fit=FitConfig(epochs=300, learning_rate=0.01, anneal=False),
)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training; `session.depends_on` says what of it enters the key under which its result is kept."""

    name: str
    kind: Literal["classify", "reconstruct", "distil"]
    train_on: Which
    lowering: Lowering
    networks: Networks
    weights: DistilWeights = field(default_factory=DistilWeights)
    after: str | None = None  # the stage whose network it takes, frozen

    @property
    def predicts(self) -> bool:
        """False for a stage that only makes PSSMs."""
        return self.kind != "reconstruct"


def plan_stages(
    networks: Networks, weights: DistilWeights, train_on: Which, lm_channels: int, ablate: tuple[Ablation, ...],
    rivals: Rivals = "all", enhance_net: bool = True, teacher_on: Literal["deep", "all"] = "deep",
) -> list[Stage]:  # fmt: skip
    """List the stages of a run, each after the one it needs.

    `lm_channels` is the width of the language model's hidden state, 0 to leave it out (as the paper does).  Where
    F_e is to read no X_b (``networks.enhance.bert``), no network reads anything of a language model.  `rivals` are all,
    or the plain classifier alone.  Without `enhance_net` the student reads X_l itself.
    A teacher that learns on all proteins is the plain classifier, ``Real``.
    """
    plain = replace(networks, enhance=replace(networks.enhance, bert=False))
    extra = N_AA + lm_channels if lm_channels else 0
    full = replace(
        networks,
        classifier=replace(networks.classifier, extra=extra),
        enhance=replace(networks.enhance, extra=lm_channels),
    )
    deep = Stage(name="teacher", kind="classify", train_on="deep", lowering="none", networks=plain, weights=weights)
    real = replace(deep, name="Real", train_on="all")
    teacher = {"deep": deep, "all": real}[teacher_on]
    ours = replace(
        deep, name="protray", kind="distil", train_on=train_on, lowering="prior", networks=full, after=teacher.name
    )
    # where X_e is X_l there is nothing for Eq. 7 and 8 to train
    alone = replace(
        ours, networks=replace(plain, enhance=replace(plain.enhance, layers=0)),
        weights=replace(weights, beta=0.0, gamma=0.0),
    )  # fmt: skip
    ablated = {
        "enhance": replace(alone, name="w/o EnhanceNet"),
        "bert": replace(ours, name="w/o BERT", networks=plain),
        "cl": replace(ours, name="w/o CL", weights=replace(weights, gamma=0.0)),
        "mse": replace(ours, name="w/o MSE", weights=replace(weights, beta=0.0)),
    }
    others = [
        replace(real, name="Real + down-sampling", lowering="prior"),
        replace(real, name="Real (shallow only)", train_on="shallow"),
        *([replace(real, name="Real + LM", networks=full)] if lm_channels else []),
        replace(deep, name="Bagging enhancer", kind="reconstruct", lowering="fixed-ratio"),
        replace(real, name="Bagging", lowering="fixed-ratio", after="Bagging enhancer"),
    ]
    return [
        teacher,
        ours if enhance_net else alone,
        *([real] if teacher != real else []),
        *(others if rivals == "all" else []),
        *(ablated[name] for name in ablate),
    ]


def training_rows(proteins: Proteins, which: Which) -> np.ndarray:
    """Rows of the training split that a stage learns from: labelled, and as deep as it asks."""
    rows = proteins.of_split("train")
    rows = rows[proteins.labelled[rows] > 0]
    keep = {"deep": proteins.deep[rows], "shallow": ~proteins.deep[rows], "all": np.ones(len(rows), bool)}[which]
    if not keep.any():
        raise ValueError(f"the training split has no labelled {which} protein ({len(rows)} labelled ones in all)")
    return rows[keep]


def unlabelled_rows(proteins: Proteins) -> np.ndarray:
    """Deep proteins of the training split without labels: of them there is the teacher's answer to learn."""
    rows = proteins.of_split("train")
    return rows[(proteins.labelled[rows] == 0) & proteins.deep[rows]]


def rows_of(stage: Stage, proteins: Proteins) -> np.ndarray:
    """Rows of the training split that a stage learns from; those without labels only by distillation."""
    rows = training_rows(proteins, stage.train_on)
    return np.sort(np.concatenate([rows, unlabelled_rows(proteins)])) if stage.kind == "distil" else rows


def check_splits(proteins: Proteins) -> None:
    """Raise ValueError, before anything is computed, if a split lacks the labelled proteins that a run needs."""
    train, validation, test = (proteins.of_split(split) for split in ("train", "validation", "test"))
    labelled = proteins.labelled > 0
    needs = {
        f"training proteins with more than {LOW_QUALITY} homologs, for the teacher": train[proteins.deep[train]],
        f"training proteins with at most {LOW_QUALITY} homologs, to draw depths from": train[~proteins.deep[train]],
        "validation proteins, to choose epochs by": validation,
        "test proteins, to evaluate on": test,
    }
    missing = [what for what, rows in needs.items() if not labelled[rows].any()]
    if missing:
        sizes = f"{len(train)} training, {len(validation)} validation and {len(test)} test proteins"
        raise ValueError(f"the dataset ({sizes}) has no labelled {'; and no labelled '.join(missing)}")


def build(stage: Stage, earlier: dict[str, dict[str, Tensor]]) -> nn.Module:
    """Build the step of a stage; `earlier` has the weights of the finished stages."""
    before = replace(  # the networks of the teacher and of Bagging's enhancer know no language model
        stage.networks,
        classifier=replace(stage.networks.classifier, extra=0),
        enhance=replace(stage.networks.enhance, bert=False, extra=0),
    )
    if stage.kind == "reconstruct":
        return Reconstruct(EnhanceNet(stage.networks.enhance), stage.weights)
    if stage.kind == "classify":
        enhancer = None
        if stage.after:
            enhancer = EnhanceNet(before.enhance)
            enhancer.load_state_dict(part(earlier[stage.after], "enhancer"))
        return Classify(SsClassifier(stage.networks.classifier), "low", enhancer)
    assert stage.after is not None
    teacher = SsClassifier(before.classifier)
    teacher.load_state_dict(part(earlier[stage.after], "classifier"))
    student = SsClassifier(stage.networks.classifier)
    return Distil(EnhanceNet(stage.networks.enhance), student, teacher, stage.weights)


def part(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights of one submodule, by its name in the step."""
    return {key.removeprefix(name + "."): value for key, value in weights.items() if key.startswith(name + ".")}
