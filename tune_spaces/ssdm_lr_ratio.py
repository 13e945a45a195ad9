"""Learning rate of the language model over that of the rest, in pre-training of a serial fusion.

SSDM's deck draws such curves of fine-tuning, for which there is `ssdm_fine_tune.py`; ESM-GearNet pre-trains with its
ratio, too.  The curves of the report are coloured by the ratio.
"""

JOB = "ssdm"
METRIC, MODE = "retrieval/same_topology", "max"

FIXED = {"fusion": "serial"}
PAPER = {"lm_lr_ratio": 0.1, "fit.warmup": 0}

SPACE = {
    "lm_lr_ratio": (0.0, 0.01, 0.1, 1.0),  # the deck's; 0 is a frozen language model
    "fit.warmup": (0, 20),  # steps; the sources', and 5 % of the six epochs that a trial has by default
}
