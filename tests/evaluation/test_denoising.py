"""Denoising gain: with denoisers whose results are known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from protray.data.structure.structures import StructureChain, Structures
from protray.evaluation.denoising import (
    FLOW,
    LANGEVIN,
    MEASURES,
    NETWORK,
    NOISY,
    WIENER,
    DenoisingConfig,
    DenoisingResults,
    add_noise,
    beginning,
    choose,
    evaluate_denoising,
    follow,
    noise_path,
    score,
)
from protray.struct.noise import NoiseConfig

SIGMAS = NoiseConfig(first=4.0, last=0.05, levels=8).sigmas()
CONFIG = DenoisingConfig(chains=6, shortest=20, longest=40, every=2, sampled=3, shown=2)


def helices(count: int, seed: int = 0) -> Structures:
    """Helices with a kink, of 20 to 40 residues."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(20, 41, size=count)
    chains = []
    for length in lengths:
        turn_L = np.deg2rad(100) * np.arange(length)
        helix_L3 = np.stack([2.3 * np.cos(turn_L), 2.3 * np.sin(turn_L), 1.5 * np.arange(length)], axis=1)
        half = length // 2
        turn_33, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        helix_L3[half:] = (helix_L3[half:] - helix_L3[half]) @ turn_33 + helix_L3[half]
        chains.append(helix_L3 - helix_L3.mean(axis=0))
    return Structures(
        ids=[f"helix{m}" for m in range(count)],
        codes_R=np.zeros(lengths.sum(), dtype=np.uint8),
        index_R=np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        ca_R3=np.concatenate(chains).astype(np.float32),
        starts=np.concatenate([[0], lengths.cumsum()]),
    )


def perfect(chain: StructureChain, noisy_L3: np.ndarray, sigma: float) -> np.ndarray:
    """Knows the answer."""
    return chain.ca_L3.astype(np.float64)


def idle(chain: StructureChain, noisy_L3: np.ndarray, sigma: float) -> np.ndarray:
    return noisy_L3


@pytest.fixture(scope="module")
def results() -> DenoisingResults:
    return evaluate_denoising(perfect, SIGMAS, helices(10), helices(30, seed=1), CONFIG)


def test_a_perfect_denoiser_gains_all_there_is(results) -> None:
    for row in results.rows():
        if row["method"] in (NETWORK, FLOW, LANGEVIN):
            assert [row[measure] for measure in MEASURES] == pytest.approx([0, 1, 0], abs=1e-9)
        if row["method"] == NETWORK:
            noisy = next(r for r in results.rows() if (r["level"], r["method"]) == (row["level"], NOISY))
            assert row["rmsd_gain"] == pytest.approx(noisy["rmsd"])
            assert row["lddt_gain"] == pytest.approx(1 - noisy["lddt"])
            assert row["rmsd_gain_ci95"] == pytest.approx(noisy["rmsd_ci95"])
            assert row["rmsd_lead"] > 0


def test_doing_nothing_gains_nothing() -> None:
    for row in evaluate_denoising(idle, SIGMAS, helices(3), helices(5), CONFIG).rows():
        if row["method"] in (NOISY, NETWORK):
            assert [row[f"{measure}_gain"] for measure in MEASURES] == [0, 0, 0]


def test_shapes_and_levels(results) -> None:
    assert results.levels_K.tolist() == [1, 3, 5, 7]
    assert results.sigmas_K == pytest.approx(SIGMAS[::2])
    assert {method: scores.shape for method, scores in results.one_step.items()} == dict.fromkeys(
        (NOISY, WIENER, NETWORK), (4, 6, 3)
    )
    assert {method: scores.shape for method, scores in results.annealed.items()} == dict.fromkeys(
        (NOISY, WIENER, NETWORK, LANGEVIN, FLOW), (3, 3)
    )
    assert [set(example.ca) for example in results.examples] == 2 * [{"native", *results.annealed}]
    assert len(results.rows()) == 4 * 3 + 5


def test_noise_costs_what_it_should(results) -> None:
    """RMSD of noise is sigma times the square root of (3 L - 6) coordinates' share of L, as long as it is small."""
    expected = 0.3 * np.sqrt(3 - 6 / 400)
    rng = np.random.default_rng(0)
    chain = StructureChain("x", np.zeros(400, np.uint8), np.arange(400, dtype=np.int32), 20 * rng.random((400, 3)))
    found = np.mean([score(add_noise(chain, 0.3, "k", k), chain)[0] for k in range(20)])
    assert found == pytest.approx(expected, rel=0.01)
    assert (np.diff(results.one_step[NOISY][:, :, 0].mean(axis=1)) < 0).all()


def test_neighbours_are_those_without_a_break() -> None:
    """Bonds of 4 and 5 Å where 3.8 Å is right, and a gap that does not count: (0.2 + 1.2) / 2."""
    along_3 = np.ones(3) / np.sqrt(3)
    native_L3 = np.outer([0, 3.8, 7.6, 30], along_3)
    native = StructureChain("x", np.zeros(4, np.uint8), np.array([0, 1, 2, 9], np.int32), native_L3)
    assert score(np.outer([0, 4, 9, 100], along_3), native)[2] == pytest.approx(0.7)


def test_the_same_chains_and_noise_whatever_else_is_there(results) -> None:
    again = evaluate_denoising(perfect, SIGMAS, helices(10), helices(30, seed=1), replace(CONFIG, every=4, sampled=2))
    assert (again.one_step[NOISY][0] == results.one_step[NOISY][0]).all()
    assert (again.one_step[NOISY][1] == results.one_step[NOISY][2]).all()
    assert (again.annealed[LANGEVIN] == results.annealed[LANGEVIN][:2]).all()
    ten = choose(helices(10), CONFIG)
    assert len(ten) == 6
    assert [row for row in choose(helices(10), replace(CONFIG, chains=10)) if row in ten] == ten


def test_short_chains_are_left_out_and_long_ones_cut() -> None:
    chains = helices(10)
    long = choose(chains, replace(CONFIG, shortest=30))
    assert long
    assert all(chains.lengths[long] >= 30)
    with pytest.raises(ValueError, match="none of 10 held-out chains has at least 500 residues"):
        choose(chains, replace(CONFIG, shortest=500, longest=600))
    cut = beginning(chains.chain(0), 5)
    assert (cut.id, len(cut.codes_L), len(cut.index_L), cut.ca_L3.shape) == (chains.ids[0], 5, 5, (5, 3))


@pytest.mark.parametrize(
    ("start", "stop", "path"),
    [
        (3.0, 0.1, [3.0, 2.0, 1.0, 0.5, 0.1]),
        (2.0, 0.3, [2.0, 1.0, 0.5]),
        (50.0, 5.0, [10.0]),
        (0.3, 0.2, [0.3]),
    ],
)
def test_path_goes_from_start_down_to_stop(start, stop, path) -> None:
    sigmas = np.array([10.0, 2, 1, 0.5, 0.1, 0.01])
    assert noise_path(sigmas, DenoisingConfig(start=start, stop=stop)) == path


@pytest.mark.parametrize("renew", [True, False])
def test_sampling_a_gaussian_leaves_its_variance(renew) -> None:
    """Native coordinates N(0, v): with the exact denoiser, v / (v + sigma^2) x, the samples are N(0, v) again.

    One step alone would leave v^2 / (v + 25) = 0.025 of v = 0.8.  With new noise the samples forget where they started.
    """
    variance = 0.8
    path = np.geomspace(5, 0.05, 60).tolist()

    def exact(chain: StructureChain, noisy_L3: np.ndarray, sigma: float) -> np.ndarray:
        return noisy_L3 * variance / (variance + sigma**2)

    rng = np.random.default_rng(0)
    native_L3 = np.sqrt(variance) * rng.standard_normal((5000, 3))
    chain = StructureChain("x", np.zeros(5000, np.uint8), np.arange(5000, dtype=np.int32), native_L3)
    noisy_L3 = native_L3 + 5 * rng.standard_normal((5000, 3))
    found_L3 = follow(exact, chain, noisy_L3, path, renew)
    assert found_L3.var() == pytest.approx(variance, rel=0.1)
    alike = np.corrcoef(found_L3.ravel(), noisy_L3.ravel())[0, 1]
    assert alike < 0.5 if renew else alike > 0.999


def test_results_are_json_and_flat_metrics(results) -> None:
    assert json.loads(json.dumps(results.rows())) == results.rows()
    metrics = results.metrics()
    assert metrics["denoising/level_01/rmsd"] == pytest.approx(0, abs=1e-9)
    assert metrics["denoising/start/langevin/lddt_gain"] == pytest.approx(1 - results.annealed[NOISY][:, 1].mean())
    assert len(metrics) == (4 + 3) * 2 * len(MEASURES)


def test_one_chain_has_no_interval() -> None:
    one = evaluate_denoising(idle, SIGMAS, helices(1), helices(5), CONFIG)
    assert {tuple(row["rmsd_ci95"]) for row in one.rows()} == {(None, None)}


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match="sampled must be at least 1, got 0"):
        DenoisingConfig(sampled=0)
    with pytest.raises(ValueError, match="from start down to stop > 0, got 1.0 and 2.0"):
        DenoisingConfig(start=1.0, stop=2.0)
