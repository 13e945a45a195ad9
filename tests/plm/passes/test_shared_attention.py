"""Shared first-layer attention equals ordinary attention of every masked copy."""

import pytest
import torch

from protray.plm.passes.shared_attention import SharedAttention

T, H, D = 9, 3, 4


def random_parts(seed: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    own, mask = ([torch.randn(T, H, D, generator=generator) for _ in range(3)] for _ in range(2))
    return own, mask


def plain(own: list[torch.Tensor], mask: list[torch.Tensor], position: int) -> torch.Tensor:
    """One copy, in double precision."""
    query, key, value = (x.double().clone() for x in own)
    for own_THD, mask_THD in zip((query, key, value), mask, strict=True):
        own_THD[position] = mask_THD[position].double()
    score_HTT = torch.einsum("ihd,jhd->hij", query, key) / D**0.5
    return torch.einsum("hij,jhd->ihd", score_HTT.softmax(-1), value)


@pytest.mark.parametrize(("start", "stop"), [(0, T), (2, 5), (8, 9)])
def test_every_copy_as_if_alone(start: int, stop: int) -> None:
    own, mask = random_parts(0)
    context_MTHD = SharedAttention.of(own, mask).context(start, stop)
    for copy, position in enumerate(range(start, stop)):
        torch.testing.assert_close(context_MTHD[copy].double(), plain(own, mask, position), rtol=0, atol=2e-6)


@pytest.mark.parametrize("strength", [30.0, 1000.0])
def test_a_token_that_gets_all_attention_may_be_the_masked_one(strength: float) -> None:
    """Its exponential is e^1000 of the others': they must not vanish where it is masked."""
    own, mask = random_parts(1)
    own[0][:, :, 0] = own[1][4, :, 0] = strength**0.5 * D**0.25
    context_MTHD = SharedAttention.of(own, mask).context(3, 6)
    for copy, position in enumerate(range(3, 6)):
        torch.testing.assert_close(context_MTHD[copy].double(), plain(own, mask, position), rtol=0, atol=1e-4)


def test_a_protein_of_one_token_attends_to_its_mask() -> None:
    own, mask = ([x[:1] for x in part] for part in random_parts(2))
    torch.testing.assert_close(SharedAttention.of(own, mask).context(0, 1)[0], mask[2])
