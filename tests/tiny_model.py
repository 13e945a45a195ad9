"""A model folder as jobs/distil.py leaves it, but untrained and tiny; its numbers mean nothing."""

from pathlib import Path

from protray.plm.reading import Reading

LM_CHANNELS = 16
WHOLE = Reading()


def save_tiny_lm(folder: Path, positions: str = "rotary") -> Path:
    """A random ESM of two layers with its tokenizer; with absolute positions it reads at most 36 residues."""
    import torch
    from transformers import EsmConfig, EsmForMaskedLM

    from protray.plm.pretraining.tokens import ESM_TOKENS, MASK, PADDING, save_tokenizer

    config = EsmConfig(
        vocab_size=len(ESM_TOKENS), mask_token_id=MASK, pad_token_id=PADDING, hidden_size=LM_CHANNELS,
        num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, position_embedding_type=positions,
        max_position_embeddings=40, initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(1)
    EsmForMaskedLM(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_tiny_model(folder: Path, lm: Path, reading: Reading = WHOLE) -> Path:
    """F_e, F_s and F_t that read X_b and the hidden state of `lm`."""
    import torch

    from protray.data.secondary.features import FeatureConfig
    from protray.losses.distil import DistilWeights
    from protray.models.secondary.enhance_net import EnhanceConfig, EnhanceNet
    from protray.models.secondary.ss_classifier import ClassifierConfig, SsClassifier
    from protray.training.secondary.export import ModelCard, save_model
    from protray.training.secondary.steps import Distil

    card = ModelCard(
        lm=str(lm),
        reading=reading,
        features=FeatureConfig(),
        classifier=ClassifierConfig(embedding=4, hidden=8, layers=1, extra=20 + LM_CHANNELS),
        teacher=ClassifierConfig(embedding=4, hidden=8, layers=1),
        enhance=EnhanceConfig(embedding=4, hidden=8, layers=1, filters=4, extra=LM_CHANNELS),
    )
    torch.manual_seed(2)
    student, teacher = SsClassifier(card.classifier), SsClassifier(card.teacher)
    save_model(folder, card, Distil(EnhanceNet(card.enhance), student, teacher, DistilWeights()).state_dict())
    return folder
