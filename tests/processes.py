"""Tests with several processes that talk through gloo."""

import os
from typing import NoReturn

import torch


def leave() -> NoReturn:
    """End a spawned process whose work is done, once its peers are done, too.

    gloo's threads may still run while an interpreter is torn down, and then end it with SIGABRT (seen in one of seven
    full runs of the tests); so it is not torn down.
    """
    torch.distributed.barrier()
    os._exit(0)
