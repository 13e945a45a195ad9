"""Numbers that others published for tasks like ours: for orientation, beside a run's own and never ranked with them.

They are of other proteins, other splits and networks that are trained end to end; single runs, whose test set was
looked at in every epoch.  SSDM's slides (2024) have most of them as one table; here each stands with those who
measured it: GearNet (Zhang et al., arXiv 2203.06125, and its repository), ESM-GearNet (Zhang et al., arXiv 2303.06275),
and SaProt (Su et al., ICLR 2024), of FLIP's human cells.
"""

from collections.abc import Sequence

Table = tuple[str, list[str], list[list[str]]]

FMAX = "Fmax, torchdrug's"  # which breaks ties
MEASURES = {
    "ec": FMAX, "go-bp": FMAX, "go-mf": FMAX, "go-cc": FMAX, "psr": "Spearman", "msp": "AUROC",
    "thermostability": "Spearman",
}  # fmt: skip
GEARNET, ESM_GEARNET, SAPROT = "GearNet", "ESM-GearNet", "SaProt"
PUBLISHED: Sequence[tuple[str, str, tuple[float | None, ...]]] = (
    ("ESM-2-650M", ESM_GEARNET, (0.880, 0.460, 0.661, 0.445)),
    ("ProtBERT-BFD", ESM_GEARNET, (0.838, 0.279, 0.456, 0.408)),
    ("GearNet", GEARNET, (0.730, 0.356, 0.503, 0.414)),  # "ESM-SSDM" of the slides
    ("GearNet", ESM_GEARNET, (None,) * 4 + (0.708, 0.549)),
    ("ESM + GearNet, serial", ESM_GEARNET, (0.890, 0.488, 0.681, 0.464, 0.829, 0.685)),
    ("ESM + GearNet, parallel", ESM_GEARNET, (0.792, 0.384, 0.573, 0.407, 0.760, 0.644)),
    ("ESM + GearNet, cross", ESM_GEARNET, (0.884, 0.470, 0.660, 0.462, 0.747, 0.408)),
    ("GVP", ESM_GEARNET, (0.489, 0.326, 0.426, 0.420, 0.726, 0.664)),
    ("ESM + GVP, serial", ESM_GEARNET, (0.881, 0.473, 0.668, 0.485, 0.866, 0.617)),
    ("ESM + GVP, parallel", ESM_GEARNET, (0.872, 0.446, 0.657, 0.455, 0.702, 0.592)),
    ("ESM + GVP, cross", ESM_GEARNET, (0.880, 0.465, 0.664, 0.469, 0.764, 0.583)),
    ("CDConv", ESM_GEARNET, (0.820, 0.453, 0.654, 0.479, 0.786, 0.529)),
    ("ESM + CDConv, serial", ESM_GEARNET, (0.880, 0.465, 0.658, 0.475, 0.851, 0.566)),
    ("ESM + CDConv, parallel", ESM_GEARNET, (0.879, 0.448, 0.662, 0.455, 0.803, 0.602)),
    ("GearNet-Edge", GEARNET, (0.810, 0.403, 0.580, 0.450)),
    ("GearNet-Edge, residue types", GEARNET, (0.843, 0.430, 0.604, 0.465)),
    ("GearNet-Edge, distances", GEARNET, (0.839, 0.448, 0.616, 0.464)),
    ("GearNet-Edge, angles", GEARNET, (0.853, 0.458, 0.625, 0.473)),
    ("GearNet-Edge, dihedrals", GEARNET, (0.859, 0.458, 0.626, 0.465)),
    ("GearNet-Edge, contrast", GEARNET, (0.874, 0.490, 0.654, 0.488)),
    ("ESM-GearNet", GEARNET, (0.883, 0.491, 0.677, 0.501)),
    ("ESM-GearNet, contrast", GEARNET, (0.894, 0.516, 0.684, 0.502)),
    ("ESM-2-650M", SAPROT, (None,) * 6 + (0.680,)),
    ("SaProt", SAPROT, (None,) * 6 + (0.724,)),
)


def published_tables(task: str) -> list[Table]:
    """Title, header and lines of what is published for a task of `MEASURES`; none for others."""
    if task not in MEASURES:
        return []
    column = list(MEASURES).index(task)
    values = [(name, values[column], whose) for name, whose, values in PUBLISHED if len(values) > column]
    body = [[name, f"{value:.3f}", whose] for name, value, whose in values if value is not None]
    return [("published, other data: not to be compared with ours", ["", MEASURES[task], "whose"], body)]
