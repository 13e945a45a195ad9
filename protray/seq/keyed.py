"""Random numbers keyed by what they belong to, never by worker, batch or block."""

import hashlib

import numpy as np


def key(*parts: object) -> int:
    """Hash (seed, epoch, protein id, ...) to 63 bits; the same on every machine and in every process."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: object) -> np.random.Generator:
    """Return the generator that belongs to these parts.

    >>> generator(0, "1abcA").random() == generator(0, "1abcA").random()
    True
    """
    return np.random.default_rng(key(*parts))
