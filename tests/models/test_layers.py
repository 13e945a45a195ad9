import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from protray.models.layers import BiLstm, Noise, dropout, real_residues

LENGTHS_B = torch.tensor([7, 3, 1])


def test_real_residues() -> None:
    assert real_residues(torch.tensor([2, 0, 3]), 3).int().tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]


def packed_twin(ours: BiLstm, inputs: int, hidden: int, layers: int) -> nn.LSTM:
    """torch's own bidirectional LSTM with the same weights."""
    twin = nn.LSTM(inputs, hidden, layers, batch_first=True, bidirectional=True)
    for number in range(layers):
        for suffix, part in (("", ours.ahead[number]), ("_reverse", ours.back[number])):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(twin, f"{name}_l{number}{suffix}").data.copy_(getattr(part, f"{name}_l0"))
    return twin


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_equals_the_packed_lstm_of_torch(layers) -> None:
    torch.manual_seed(0)
    ours = BiLstm(5, 4, layers, dropout=0.5)
    twin = packed_twin(ours, 5, 4, layers)
    x_BLC = torch.randn(3, 7, 5)
    packed, _ = twin(pack_padded_sequence(x_BLC, LENGTHS_B, batch_first=True))
    expected_BLC, _ = pad_packed_sequence(packed, batch_first=True)
    torch.testing.assert_close(ours(x_BLC, LENGTHS_B), expected_BLC, atol=1e-6, rtol=0)


def test_gradients_equal_those_of_the_packed_lstm() -> None:
    torch.manual_seed(0)
    ours = BiLstm(5, 4, 2, dropout=0.0)
    twin = packed_twin(ours, 5, 4, 2)
    x_BLC = torch.randn(3, 7, 5)
    ours(x_BLC, LENGTHS_B).square().sum().backward()
    packed, _ = twin(pack_padded_sequence(x_BLC, LENGTHS_B, batch_first=True))
    packed.data.square().sum().backward()
    torch.testing.assert_close(ours.back[0].weight_hh_l0.grad, twin.weight_hh_l0_reverse.grad, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.ahead[1].weight_ih_l0.grad, twin.weight_ih_l1.grad, atol=1e-6, rtol=0)


def test_what_stands_at_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    lstm = BiLstm(5, 4, 2, dropout=0.0)
    x_BLC = torch.randn(3, 7, 5)
    other_BLC = torch.where(real_residues(LENGTHS_B, 7)[:, :, None], x_BLC, 9.0)
    out_BLC = lstm(x_BLC, LENGTHS_B)
    torch.testing.assert_close(lstm(other_BLC, LENGTHS_B), out_BLC, atol=0, rtol=0)
    assert (out_BLC[~real_residues(LENGTHS_B, 7)] == 0).all()


def test_dropout_of_a_protein_is_the_same_alone_and_in_a_batch() -> None:
    x_BLC = torch.ones(3, 7, 50)
    together = dropout(x_BLC, 0.4, Noise([11, 22, 33], LENGTHS_B.tolist()), "lstm.1")
    for row, protein in enumerate([11, 22, 33]):
        length = int(LENGTHS_B[row])
        alone = dropout(torch.ones(1, length, 50), 0.4, Noise([protein], [length]), "lstm.1")
        assert torch.equal(together[row, :length], alone[0])


def test_dropout_keeps_its_share_and_its_expectation() -> None:
    """Of 20,000 activations 75 % become 0 and the others 1 / 0.25 = 4: their mean stays 1."""
    dropped = dropout(torch.ones(1, 200, 100), 0.75, Noise([5], [200]), "last")
    assert set(dropped.unique().tolist()) == {0.0, 4.0}
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.05)  # standard error 0.012


def test_dropout_differs_between_layers_and_keys() -> None:
    x_BLC = torch.ones(1, 7, 50)
    draws = [dropout(x_BLC, 0.5, Noise([k], [7]), layer) for k, layer in [(1, "a"), (1, "b"), (2, "a")]]
    assert not any(torch.equal(draws[i], draws[j]) for i, j in [(0, 1), (0, 2), (1, 2)])


def test_no_noise_is_evaluation() -> None:
    x_BLC = torch.randn(1, 7, 5)
    assert dropout(x_BLC, 0.9, None, "last") is x_BLC
    assert dropout(x_BLC, 0.0, Noise([1], [7]), "last") is x_BLC
