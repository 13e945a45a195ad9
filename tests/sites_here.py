"""Small synthetic proteins whose sites follow from their residue types, and random embeddings."""

import numpy as np

from protray.data.sites.table import SiteProtein
from protray.seq.alphabet import decode


def proteins(count: int, channels: int = 0, start: int = 0, length: int = 20) -> list[SiteProtein]:
    """Sites are where W or R stand; with `channels`, the first embedding tells it, too."""
    found = []
    for number in range(start, start + count):
        rng = np.random.default_rng(number)
        codes_L = rng.integers(0, 20, length + number % 5).astype(np.uint8)
        sequence = decode(codes_L)
        label_L = np.array([letter in "WRK" for letter in sequence], np.int8)
        residue_LC = rng.standard_normal((len(sequence), channels)).astype(np.float16)
        if channels:
            residue_LC[:, 0] += 3 * label_L
        embedding = residue_LC if channels else None
        found.append(SiteProtein(f"p{number}", sequence, label_L, f"c{number}", residue_LC=embedding))
    return found
