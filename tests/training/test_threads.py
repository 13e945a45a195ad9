"""Work on several batches at once."""

import threading

import pytest
import torch

from protray.training.threads import side_by_side


@pytest.fixture
def two_threads():  # noqa: ANN201
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_calls_run_at_the_same_time_on_one_thread_each_and_come_in_order(two_threads) -> None:
    """Each waits for the other: one after the other would never end."""
    together = threading.Barrier(2, timeout=30)

    def work(number: int) -> tuple[int, int]:
        together.wait()
        return number, torch.get_num_threads()

    with side_by_side("cpu") as at_once:
        assert list(at_once(work, [3, 1, 2, 0])) == [(3, 1), (1, 1), (2, 1), (0, 1)]
    assert torch.get_num_threads() == 2


def test_an_error_is_the_first_calls_and_the_threads_come_back(two_threads) -> None:
    with pytest.raises(ZeroDivisionError), side_by_side("cpu") as at_once:
        list(at_once(lambda number: 1 / number, [1, 0, 2]))
    assert torch.get_num_threads() == 2


def test_one_thread_or_a_gpu_works_through_a_plain_map(two_threads) -> None:
    with side_by_side("cuda") as at_once:
        assert at_once is map
    torch.set_num_threads(1)
    with side_by_side("cpu") as at_once:
        assert at_once is map
