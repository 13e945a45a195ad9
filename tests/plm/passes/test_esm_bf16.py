"""Maps in bfloat16 on a CPU stay near those in float32."""

import numpy as np
import pytest
import torch

from protray.data.sample import sample_table
from protray.plm.masked import load, map_rows
from protray.plm.passes import esm_bf16
from protray.plm.reading import Reading
from protray.plm.shipped import SHIPPED
from protray.seq.alphabet import encode


def test_within_2e_3_of_float32_at_the_first_residues() -> None:
    """Where the packaged model's maps change most: a first residue is likely, but not sure to be methionine."""
    lm = load(SHIPPED)
    for sequence in sample_table()["sequence"].to_pylist()[143:148]:
        codes_L = encode(sequence)
        exact_MA = map_rows(lm, codes_L, stop=2)
        near_MA = map_rows(lm, codes_L, stop=2, reading=Reading("bfloat16"))
        np.testing.assert_allclose(near_MA, exact_MA, rtol=0, atol=2e-3)


def test_projection_rounds_the_difference_alone() -> None:
    """A difference below 2 is rounded by at most 2^-8, a product between 16 and 32 by up to 2^-4."""
    generator = torch.Generator().manual_seed(0)
    linear = torch.nn.Linear(32, 32).requires_grad_(False)
    linear.weight.copy_(torch.randn(32, 32, generator=generator).bfloat16())
    linear.bias.fill_(1000.3)
    normed_TC = torch.randn(5, 32, generator=generator).bfloat16()
    normed_MTC = (normed_TC + 0.05 * torch.randn(3, 5, 32, generator=generator)).bfloat16()
    product_MTC = normed_MTC.double() @ linear.weight.double().T
    assert (product_MTC - normed_TC.double() @ linear.weight.double().T).abs().max() < 2
    assert (product_MTC.bfloat16() - product_MTC).abs().max() > 2**-5
    found_MTC = esm_bf16._Projection.of(linear, normed_TC)(normed_MTC)
    torch.testing.assert_close(found_MTC.double(), product_MTC + 1000.3, rtol=0, atol=2**-8 + 2e-4)


M, T, H, D = 3, 7, 2, 4


def random_parts() -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Queries, keys, values, minus the row's highest score in the first copy, and the exact outcome."""
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(M, T, H, D, generator=generator) for _ in range(3)]
    query, key, value = (x_MTHD.double() for x_MTHD in parts)
    score_MHTT = torch.einsum("mihd,mjhd->mhij", query, key)
    expected_MTHD = torch.einsum("mhij,mjhd->mihd", score_MHTT.softmax(-1), value)
    return parts, -score_MHTT[0].amax(-1, keepdim=True).bfloat16(), expected_MTHD


def test_attention_with_a_given_shift() -> None:
    parts, minus_c_HT1, expected_MTHD = random_parts()
    found_MTHD = esm_bf16._attend(*parts, minus_c_HT1)
    torch.testing.assert_close(found_MTHD.double(), expected_MTHD, rtol=0, atol=0.03)
    assert (found_MTHD - expected_MTHD).abs().max() > 1e-4  # in bfloat16, not the fallback


@pytest.mark.parametrize("shift", [-200.0, -20.0, 80.0, 200.0])
def test_attention_with_a_useless_shift_falls_back(shift: float) -> None:
    """Sums of exponentials of 0, too small, too large, and infinite."""
    parts, minus_c_HT1, expected_MTHD = random_parts()
    found_MTHD = esm_bf16._attend(*parts, minus_c_HT1 + shift)
    torch.testing.assert_close(found_MTHD.double(), expected_MTHD, rtol=0, atol=1e-5)


def test_attention_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, minus_c_HT1, _ = random_parts()
    whole_MTHD = esm_bf16._attend(*parts, minus_c_HT1)
    monkeypatch.setattr(esm_bf16, "SCORES_AT_ONCE", 4 * T * T)
    torch.testing.assert_close(esm_bf16._attend(*parts, minus_c_HT1), whole_MTHD)
