"""Learning rate of the language model over that of the rest (SSDM's deck, curves of "ESM-SSDM serial"; ESM-GearNet).

The deck draws fine-tuning: after 50 epochs 0.1 is best (EC 0.891), 1 follows (0.887; on GO-MF it falls to 0.175 in the
fourth epoch and does not recover), 0 is last (0.870).  The sources warm nothing up, which may be what 1 dies of.  Here
it is pre-training, of a serial fusion, and the curves of the report are coloured by the ratio.
"""

JOB = "ssdm"
METRIC, MODE = "retrieval/same_topology", "max"

FIXED = {"fusion": "serial"}
PAPER = {"lm_lr_ratio": 0.1, "fit.warmup": 0}

SPACE = {
    "lm_lr_ratio": (0.0, 0.01, 0.1, 1.0),  # the deck's; 0 is a frozen language model
    "fit.warmup": (0, 20),  # steps; the sources', and 5 % of the six epochs that a trial has by default
}
