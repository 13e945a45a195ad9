"""The weights of PSSM-Distil's objective, Eq. 1, 7 and 9 (Wang et al., AAAI 2021), around the paper's values.

The paper says of its values that "Greed search is utilized", and prints neither grid nor scores.  Each grid here holds
the paper's value, one clearly away from it and, where they differ, protray's own (`protray.losses.weights.TUNED`).

``SPACE``    the weights as they are
``SIMPLEX``  alpha + beta + gamma = 1, as the paper's nearly do (0.996): what counts is their ratio, since Adam does not
             see the scale of a loss
"""

from protray.cluster.tuning.space import Point, Range

JOB = "distil"
METRIC, MODE = "validation/q3", "max"

PAPER = {
    "weights.alpha": 0.16,
    "weights.beta": 0.016,
    "weights.gamma": 0.82,
    "weights.kd_sigma": 0.1,
    "weights.eta": 0.6,
}

SPACE = {
    "weights.alpha": Range(low=0.05, high=2.0, log=True, grid=(0.16, 0.4, 0.88)),  # up to protray's, 0.88
    "weights.beta": Range(low=0.001, high=0.5, log=True, grid=(0.0016, 0.016, 0.16)),  # a tenth, ten times
    "weights.gamma": Range(low=0.02, high=2.0, log=True, grid=(0.1, 0.3, 0.82)),  # down to protray's, 0.1
    "weights.kd_sigma": Range(low=0.0, high=1.0, grid=(0.1, 0.5, 0.9)),  # a share; protray's is 0.5
    "weights.eta": Range(low=0.1, high=2.0, log=True, grid=(0.3, 0.6, 1.2)),  # nats; half, twice
}


def _simplex() -> list[Point]:
    """Two values of beta, the paper's and a larger one; alpha and gamma share the rest in five ways."""
    points = []
    for beta in (0.016, 0.1):
        for share in (0.16, 0.36, 0.56, 0.76, 0.96):  # of alpha; the paper's is 0.16 / 0.98
            alpha = round((1 - beta) * share, 6)
            gamma = round(1 - beta - alpha, 6)
            points.append(PAPER | {"weights.alpha": alpha, "weights.beta": beta, "weights.gamma": gamma})
    return points


SIMPLEX = _simplex()
