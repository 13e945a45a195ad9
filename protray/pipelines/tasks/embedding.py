"""What embeds a task's proteins: a language model, or models of structures, and what they are called in tables.

Light: `--help` needs no torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from protray.data.location import Location
from protray.models.joint.shipped import ENCODER
from protray.models.joint.ssdm_config import ENCODER_NAMES, EncoderKind, FusionKind
from protray.pipelines.structure.embed import MEMORY, reading_seconds
from protray.plm.shipped import absolute, fingerprint, weight_bytes

if TYPE_CHECKING:
    from protray.inference.embeddings.residues import ResidueEmbedder
    from protray.models.joint.ssdm import Ssdm
    from protray.training.structure.ssdm_export import SsdmCard


@dataclass(frozen=True)
class Embedding:
    """What embeds: a language model, `lm`, or a model of structures: `model`, a score network or a joint encoder, or
    an encoder with `random` weights that follow from the `seed`, in a `fusion` with the language model `beside` it.

    A score network is told the `noise` (Å).
    """

    lm: str | None = None
    model: Location | None = None
    noise: float = 1.0
    random: EncoderKind | None = None
    seed: int = 0
    fusion: FusionKind = "none"
    beside: str | None = None

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.lm, self.model, self.random)) != 1:
            raise ValueError(
                f"give a language model or a model of structures, got lm={self.lm!r}, model={self.model!r} and "
                f"random={self.random!r}"
            )

    @property
    def of_structures(self) -> bool:
        """Whether it reads structures."""
        return self.lm is None

    @property
    def kind(self) -> str:
        """What it is called in tables."""
        if self.random:
            return f"random {ENCODER_NAMES[self.random]}" + ("" if self.fusion == "none" else f" {self.fusion}")
        if not self.model:
            return "language model"
        return "joint encoder" if self.is_joint else "score net"

    @property
    def is_joint(self) -> bool:
        """Whether it is a joint encoder, or of its kind."""
        from protray.training.structure.ssdm_export import is_ssdm

        return self.random is not None or (self.model is not None and is_ssdm(self.model))

    @property
    def is_fused(self) -> bool:
        """Whether it is a joint encoder that reads a language model, too."""
        from protray.training.structure.ssdm_export import is_fused

        return self.fusion != "none" or (self.model is not None and is_fused(self.model))

    @cached_property
    def reads(self) -> str | None:
        """The language model that reads sequences, alone or in a fusion."""
        from protray.training.structure.ssdm_export import fused_lm

        return self.lm or self.beside or (fused_lm(self.model) if self.model else None)

    def joint(self) -> "tuple[SsdmCard, Ssdm]":
        """The joint encoder itself, in evaluation mode."""
        from protray.training.structure.random_encoders import random_encoder
        from protray.training.structure.ssdm_export import load_ssdm

        if self.random:
            return random_encoder(self.random, self.seed, self.fusion, self.beside and absolute(self.beside))
        assert self.model
        return load_ssdm(self.model)

    def identity(self) -> dict:
        """All that its numbers depend on; ValueError if there is no such model."""
        if self.random:
            from protray.training.structure.random_encoders import random_config

            found = {"random": repr(random_config(self.random).net), "seed": self.seed}
            return found | {"fusion": self.fusion, "lm": fingerprint(self.beside)} if self.beside else found
        if self.model and self.is_joint:
            from protray.training.structure.ssdm_export import load_card

            load_card(self.model)
            return {"model": fingerprint(str(self.model.fetch()))}
        if self.model:
            from protray.training.structure.score_export import load_config

            load_config(self.model)
            return {"model": fingerprint(str(self.model.fetch())), "noise": self.noise}
        from protray.plm.hub.folder import check_present

        assert self.lm
        check_present(self.lm)
        return {"lm": fingerprint(self.lm)}

    def open(self, device: str = "cpu") -> "ResidueEmbedder":
        """Load it."""
        from protray.inference.embeddings.residues import JointEncoder, LanguageModel, open_structure_model
        from protray.inference.embeddings.structure_encoder import StructureEncoder

        if self.random:
            return JointEncoder(StructureEncoder(*self.joint(), device))
        if self.model:
            return open_structure_model(self.model, self.noise, device)
        assert self.lm
        return LanguageModel.open(absolute(self.lm), device)

    @property
    def width(self) -> int:
        """Numbers of a vector, C."""
        if self.is_joint:
            return self.joint()[1].channels
        if self.model:
            from protray.training.structure.score_export import load_config

            return load_config(self.model).channels
        from protray.plm.hub.loading import read_config

        assert self.lm
        return int(read_config(self.lm).hidden_size)

    def seconds(self, length: float) -> float:
        """Of a core, about, to read a protein."""
        return reading_seconds(length, self.reads, self.of_structures, not self.is_joint)

    @property
    def memory(self) -> int:
        """Bytes of an actor."""
        return MEMORY + (2 * weight_bytes(self.reads) if self.reads else 0)


def models_of(models: tuple[Location, ...] | None, structured: Callable[[], bool]) -> tuple[Location, ...]:
    """Those of ``--model``; where it is not given, the encoder in the package if there are structures for it.

    Only then it is asked whether there are.

    >>> models_of(None, lambda: False), models_of((), lambda: True), len(models_of(None, lambda: True))
    ((), (), 1)
    """
    if models is None:
        return (Location(ENCODER),) if structured() else ()
    return models


def by_name(models: Sequence[Location], noise: float) -> dict[str, Embedding]:
    """Models of structures by the names of their rows: their kind, and of several the name of the run's folder.

    >>> list(by_name((Location("runs/few/model"), Location("runs/all/model")), noise=1.0))
    ['score net few', 'score net all']

    Raises ValueError if two have one name.
    """
    found: dict[str, Embedding] = {}
    for model in models:
        one = Embedding(model=model, noise=noise)
        found[f"{one.kind} {run_name(model)}" if len(models) > 1 else one.kind] = one
    if len(found) < len(models):
        told = ", ".join(map(str, models))
        raise ValueError(f"--model: two rows would have one name, that of the run's folder; rename one of {told}")
    return found


def read_by(lm: str | None, model: Location | None) -> list[Embedding]:
    """What a finished head or network reads: a language model, a model of structures, or both, in this order."""
    found = [Embedding(lm=lm)] if lm else []
    return found + ([Embedding(model=model)] if model else [])


def random_by_name(
    kinds: Sequence[EncoderKind], seed: int, fusions: Sequence[FusionKind] = ("none",), lm: str | None = None
) -> dict[str, Embedding]:
    """Encoders with random weights by the names of their rows, each in all fusions; ValueError if one is there twice.

    >>> list(random_by_name(["gvp", "cdconv"], seed=0, fusions=["none", "cross"], lm="shipped"))
    ['random GVP', 'random GVP cross', 'random CDConv', 'random CDConv cross']
    """
    for option, given in (("--random", kinds), ("--random-fusion", fusions)):
        if len(set(given)) < len(given):
            raise ValueError(f"{option}: each once, got {', '.join(given)}")
    found = [
        Embedding(random=kind, seed=seed, fusion=fusion, beside=None if fusion == "none" else lm)
        for kind in kinds
        for fusion in fusions
    ]
    return {one.kind: one for one in found}


def row_folder(row: str, plain: str) -> str:
    """Where the network of a row is kept, below ``OUT/model``; `plain` is the row without embeddings.

    >>> row_folder("GraphQA", "GraphQA"), row_folder("GraphQA + language model", "GraphQA")
    ('plain', 'language-model')
    """
    return "plain" if row == plain else row.removeprefix(f"{plain} + ").replace(" ", "-")


def run_name(model: Location) -> str:
    """The name of a run's folder, of which `model` is part.

    >>> run_name(Location("runs/few/model")), run_name(Location("encoders/random"))
    ('few', 'random')
    """
    return model.parent.name if model.name == "model" else model.name
