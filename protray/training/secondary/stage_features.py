"""What a training reads, and the key under which its result is kept, which is a hash of all that it depends on."""

import hashlib
import json
from dataclasses import asdict, replace

from protray.data.secondary.dataset import Proteins
from protray.data.secondary.features import FeatureConfig, Features
from protray.seq.downsample import Prior
from protray.training.secondary.stages import Stage


def stage_keys(
    stages: list[Stage], data: str, lm: str, features: FeatureConfig, unlabelled: str | None = None
) -> dict[str, str]:
    """Name -> hash of all that its result depends on, and of nothing else.

    `data` and `unlabelled` are digests of datasets, `lm` is that of the language model with the settings of its maps.
    """
    keys: dict[str, str] = {}
    for stage in stages:
        content = [depends_on(stage, lm, features), data, keys.get(stage.after or "")]
        content += [unlabelled] if unlabelled and stage.kind == "distil" else []
        keys[stage.name] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    return keys


def depends_on(stage: Stage, lm: str, features: FeatureConfig) -> dict:
    """What of its own settings, of the features and of the language model enters a stage's result."""
    networks, asked = stage.networks, stage_config(stage, features)
    found = {"kind": stage.kind, "train_on": stage.train_on, "lowering": stage.lowering, "fit": asdict(networks.fit)}
    found |= {"background": asked.background, "pseudocount": asked.pseudocount, "seed": asked.seed}
    if stage.kind != "reconstruct":
        found["classifier"] = asdict(networks.classifier)
    if stage.kind != "classify":
        found["enhance"] = asdict(networks.enhance)
    if stage.kind == "reconstruct":
        found["weights"] = {"l2": stage.weights.l2}
    if stage.kind == "distil":
        found["weights"] = asdict(stage.weights)
    if stage.lowering == "fixed-ratio":
        found["fixed_ratio"] = asked.fixed_ratio
    if stage.lowering == "prior":
        found["kept_deep"] = asked.kept_deep
    if asked.bert or asked.lm_hidden:
        found |= {"lm": lm, "drawing": asked.drawing, "lm_hidden": asked.lm_hidden}
    return found


def stage_features(stage: Stage, proteins: Proteins, config: FeatureConfig, prior: Prior | None = None) -> Features:
    """The features that this stage's networks read, and no more."""
    return Features(proteins, stage_config(stage, config), prior)


def stage_config(stage: Stage, config: FeatureConfig) -> FeatureConfig:
    """The settings of the features, without what this stage's networks do not read."""
    networks = stage.networks
    needs_hidden = networks.enhance.extra > 0 or networks.classifier.extra > 0
    return replace(config, bert=networks.enhance.bert, lm_hidden=config.lm_hidden and needs_hidden)
