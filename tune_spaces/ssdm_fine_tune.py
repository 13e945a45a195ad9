"""Learning rate of the language model over that of the rest, in fine-tuning on EC numbers (SSDM's deck; ESM-GearNet).

The deck's curves of "ESM-SSDM serial": after 50 epochs 0.1 is best (EC 0.891), 1 follows (0.887; on GO-MF it falls to
0.175 in the fourth epoch and does not recover), 0 is last (0.870).  The sources warm nothing up, which may be what 1
dies of.  The structure's encoder begins with random weights, as theirs; the curves of the report are coloured by the
ratio.
"""

JOB = "fine_tune"
METRIC, MODE = "validation/label_ranking", "max"

FIXED = {"fusion": "serial"}
PAPER = {"fit.lm_lr_ratio": 0.1, "fit.warmup": 0}

SPACE = {
    "fit.lm_lr_ratio": (0.0, 0.01, 0.1, 1.0),  # the deck's; 0 is a frozen language model
    "fit.warmup": (0, 20),  # steps; the sources', and 5 % of the six epochs that a trial has by default
}
