"""Fine-tuning on mutations: the numbers of the frozen vectors, which learn by heart what was measured."""

import numpy as np
import pytest
import torch
from decoys_here import decoys

from protray.evaluation.tasks.properties.closed_form import closed_form, quality
from protray.inference.embeddings.residues import JointEncoder
from protray.inference.embeddings.structure_encoder import StructureEncoder
from protray.inference.tasks.mutants import MutantInput, OfStructure, surroundings
from protray.models.joint.ssdm import Ssdm
from protray.models.joint.ssdm_config import SsdmConfig
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.models.tasks.head import Head
from protray.models.tasks.head_config import HeadConfig
from protray.models.tasks.tuned import Tuned, changes
from protray.pipelines.tasks.tuned.training import begin
from protray.training.structure.ssdm_export import SsdmCard
from protray.training.tasks.properties.fine_tune import fit, predict
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig
from protray.training.tasks.properties.fine_tune_examples import MutantExamples

CONFIG = SsdmConfig(net=FrameAttentionConfig(channels=16, heads=2, pair=4, layers=1, neighbours=6))
FIT = FineTuneConfig(epochs=30, batch=6, micro_batch=3, learning_rate=1e-2, warmup=2)


def test_changes_by_hand() -> None:
    """Two mutations, of the residues 0 and 2, and of residue 1."""
    before_MLC = torch.tensor([[[1.0], [9.0], [3.0]], [[9.0], [5.0], [9.0]]])
    after_MLC = torch.tensor([[[2.0], [9.0], [8.0]], [[9.0], [4.0], [9.0]]])
    z_BLC, real_BL = torch.cat([before_MLC, after_MLC]), torch.ones(4, 3, dtype=torch.bool)
    assert changes(z_BLC, real_BL, [[0, 2], [1]]).tolist() == [[2, 3], [5, -1]]


def inputs() -> list[MutantInput]:
    """Of two chains some mutations, of one residue or two."""
    found = []
    for chain in decoys(2, 1):
        places_L = np.arange(len(chain.sequence), dtype=np.int32)
        for sites in ((3,), (5, 9), (11,)):
            to = "".join("W" if chain.sequence[site] != "W" else "A" for site in sites)
            found.append(MutantInput(chain.sequence, (0,), sites, to, places_L, places_L, chain.backbone_L43))
    return found


def examples(some: list[MutantInput]) -> MutantExamples:
    """The last one has no structure."""
    pairs = [*map(surroundings, some[:-1]), None]
    y_N1 = np.random.default_rng(0).standard_normal((len(some), 1)).astype(np.float32) * 2
    return MutantExamples([f"m{n}" for n in range(len(some))], pairs, y_N1)


@pytest.fixture(scope="module")
def started() -> tuple[Tuned, MutantExamples, np.ndarray]:
    torch.manual_seed(0)
    net, mutants = Ssdm(CONFIG, None, 0).eval(), inputs()
    frozen = OfStructure(JointEncoder(StructureEncoder(SsdmCard(CONFIG, True, (), 0), net)))
    x_NF = np.stack([*map(frozen, mutants[:-1]), np.full(32, np.nan)]).astype(np.float32)
    some = examples(mutants)
    head = Head(HeadConfig(hidden=0), "value", 32, 1)
    begin(head, closed_form("value", x_NF, some.y_NT, x_NF, some.y_NT), some.y_NT)
    return Tuned(net, head), some, x_NF


def test_it_reads_the_frozen_vectors(started) -> None:
    net, some, x_NF = started
    given = some.given(range(5))
    assert given.ids == 2 * some.ids[:5] and len(given.chains) == 10
    with torch.no_grad():
        alone = [net.head(torch.from_numpy(x_F[None])).item() for x_F in x_NF[:5]]
    found_N1 = predict(net, some)
    np.testing.assert_allclose(found_N1[:5, 0], net.head.predicted(torch.tensor(alone)[:, None])[:, 0], atol=1e-4)
    assert np.ptp(found_N1[:5]) > 1e-3 and np.isfinite(found_N1).all()


def test_what_was_measured_is_learnt_by_heart(started) -> None:
    """From a head that knows nothing; the encoder learns, too."""
    _, some, _ = started
    known = MutantExamples(some.ids[:5], some.pairs[:5], some.y_NT[:5])
    torch.manual_seed(0)
    net = Tuned(Ssdm(CONFIG, None, 0), Head(HeadConfig(hidden=0), "value", 32, 1))
    before = net.encoder.encoder.state_dict()["pair.weight"].clone()
    state = fit(net, known, known, FIT, lambda found_NT: quality("value", found_NT, known.y_NT), lambda *_: None)
    history = state["position"]["history"]
    assert history[0]["validation/quality"] < -0.5 < -0.1 < history[-1]["validation/quality"]
    assert not torch.equal(before, net.encoder.encoder.state_dict()["pair.weight"])
