"""Shared by tests: a few short chains of the bundled sample with synthetic language-model maps, and tiny networks."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protray.data import schemas
from protray.data.sample import SAMPLE
from protray.data.secondary.dataset import Proteins, joined
from protray.data.secondary.features import FeatureConfig
from protray.data.secondary.proteins import ProteinSettings, protein_row, protein_schema
from protray.losses.weights import DistilWeights
from protray.models.secondary.enhance_net import EnhanceConfig
from protray.models.secondary.ss_classifier import ClassifierConfig
from protray.seq.alphabet import N_AA
from protray.seq.downsample import LOW_QUALITY
from protray.seq.msa import Msa
from protray.seq.secondary import to_three
from protray.training.secondary.fit import FitConfig
from protray.training.secondary.stages import Networks, Stage, plan_stages

HIDDEN = 3  # channels of the synthetic language model
FEATURES = FeatureConfig(kept_deep=0.0)

# (split, deep) -> how many of the shortest chains: 7 proteins train, 4 of them deep
WANTED = {
    ("train", True): 4, ("train", False): 3, ("validation", True): 2, ("validation", False): 2,
    ("test", True): 1, ("test", False): 2,
}  # fmt: skip


def tiny_proteins() -> Proteins:
    """Fourteen real chains of 50 to 60 residues; the maps beside them are synthetic."""
    rows, left = [], dict(WANTED)
    for raw in _sample():
        place = raw["split"], raw["msa_rows"] - 1 > LOW_QUALITY
        if left[place]:
            left[place] -= 1
            rows.append(_row(raw))
    table = pa.Table.from_pylist(rows, schema=protein_schema(ProteinSettings())).sort_by("id").combine_chunks()
    return joined(table, synthetic_maps(table))


def other_chains(count: int) -> pa.Table:
    """So many deep chains that are not among those; the longest."""
    deep = [raw for raw in _sample() if raw["msa_rows"] - 1 > LOW_QUALITY]
    rows = [_row(raw) for raw in deep[-count:]]
    return pa.Table.from_pylist(rows, schema=protein_schema(ProteinSettings()))


def _sample() -> list[dict]:
    """The chains of the sample, short ones first."""
    columns = ["id", "sequence", "ss8", "msa", "msa_rows", "cluster", "split"]
    return sorted(pq.read_table(SAMPLE, columns=columns).to_pylist(), key=lambda raw: (len(raw["ss8"]), raw["id"]))


def _row(raw: dict) -> dict:
    msa = Msa(raw["id"], np.frombuffer(raw["msa"], np.uint8).reshape(raw["msa_rows"], -1))
    labels = {"ss3": to_three(raw["ss8"]), "ss8": raw["ss8"]}
    return protein_row(msa, **labels, cluster=raw["cluster"], split=raw["split"], settings=ProteinSettings())


def synthetic_maps(table: pa.Table) -> pa.Table:
    """Random probabilities and hidden states, the same in every run."""
    rng = np.random.default_rng(0)
    rows = []
    for name, sequence in zip(table["id"].to_pylist(), table["sequence"].to_pylist(), strict=True):
        prob_LA = rng.dirichlet(np.full(N_AA, 0.5), len(sequence)).astype(np.float32)
        hidden_LC = rng.normal(size=(len(sequence), HIDDEN)).astype(np.float16)
        rows.append({"id": name, "sequence": sequence, "prob_map": prob_LA.ravel(), "lm_hidden": hidden_LC.ravel()})
    return pa.Table.from_pylist(rows, schema=schemas.MAPS)


def tiny_networks(**fit: object) -> Networks:
    """Networks of 8 units with dropout."""
    return Networks(
        classifier=ClassifierConfig(embedding=4, hidden=8, dropout=0.25),
        enhance=EnhanceConfig(embedding=4, hidden=8, filters=4, dropout=0.25, residual=False),
        fit=FitConfig(**({"epochs": 2, "per_batch": 3} | fit)),  # type: ignore[arg-type]
    )


def tiny_stages(weights: DistilWeights = DistilWeights(), **fit: object) -> dict[str, Stage]:  # noqa: B008  (frozen)
    """Every stage of a run, by name."""
    stages = plan_stages(tiny_networks(**fit), weights, "all", HIDDEN, ("bert", "cl", "mse"))
    return {stage.name: stage for stage in stages}
