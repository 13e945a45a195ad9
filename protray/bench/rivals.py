"""Secondary structure beside what a biologist would use instead: ReProf (Debian's `reprof`; PredictProtein's predictor
until 2021), with the sequence alone and with a PSI-BLAST profile of the same alignment.

The sample's test split, which no training of ours has seen; of ReProf's training nothing is known.  Both time and Q3.
"""

import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from protray.bench.timing import Case, SkippedError, compare
from protray.data.sample import sample_table
from protray.data.secondary.dataset import Proteins
from protray.evaluation.bins import Bin
from protray.evaluation.bootstrap import interval, paired_interval
from protray.evaluation.secondary import score_set
from protray.inference.secondary.predict import Predictor, Query
from protray.models.secondary.shipped import PREDICTOR
from protray.seq.alphabet import decode
from protray.seq.programs import run_program
from protray.seq.secondary import STATES

PROGRAMS = {"reprof": "reprof", "psiblast": "ncbi-blast+"}  # and the packages of Debian that have them
BINS = {"<= 60 homologs": Bin("count", 60), "no homologs": Bin("count", 0), "> 60 homologs": Bin("count", None, 60)}
TIMED = 10  # proteins
ALONE, PROFILE, OURS = "ReProf, sequence alone", "ReProf, PSI-BLAST profile", "protray"


def bench(repeats: int) -> tuple[list[Case], dict[str, Any]]:
    """The times, and Q3 of all three by depth, mean over proteins; `SkippedError` where a rival is not installed."""
    for program, package in PROGRAMS.items():
        if not shutil.which(program):
            raise SkippedError(f"{program} is not here; `apt install {package}` brings it on Debian and Ubuntu")
    proteins = Proteins(sample_table())
    rows = proteins.of_split("test")
    queries = [Query(proteins.ids[row], proteins.msa(row)) for row in rows]
    predictor = Predictor.open(PREDICTOR)
    some = queries[:: max(1, len(queries) // TIMED)]
    timed = compare(
        "predict", f"{len(some)} proteins with their alignments; plain: {PROFILE}",
        lambda: [reprof(query.msa_NL) for query in some], lambda: predictor.predict(some), repeats,
        clock=time.perf_counter,
    )  # fmt: skip
    labels = {proteins.ids[row]: proteins.ss3(row) for row in rows}
    q3 = {
        OURS: accuracy({found.id: found.prob_L3.argmax(1) for found in predictor.predict(queries)}, labels),
        PROFILE: accuracy({query.id: reprof(query.msa_NL) for query in queries}, labels),
        ALONE: accuracy({query.id: reprof(query.msa_NL[:1]) for query in queries}, labels),
    }
    return [timed], scores(q3, proteins.msa_counts[rows])


def scores(q3: Mapping[str, np.ndarray], homologs: np.ndarray) -> dict[str, float]:
    """Q3 by depth, and what we gain over each rival, with 95 % intervals over proteins."""
    found: dict[str, float] = {}
    for name, bin in BINS.items():
        keep = bin.select(homologs)
        found[f"{name}: proteins"] = int(keep.sum())
        if not keep.any():
            continue
        for method, value in q3.items():
            of = value[keep]
            spans = {method: (of.mean(), interval(of))}
            if method != OURS:
                ours = q3[OURS][keep]
                spans[f"gain over {method}"] = ((ours - of).mean(), paired_interval(ours, of))
            for what, (mean, (low, high)) in spans.items():
                found[f"{name}: {what}"] = float(mean)
                if np.isfinite(low):  # of few proteins there is no interval
                    found |= {f"{name}: {what}, from": low, f"{name}: {what}, to": high}
    return found


def accuracy(states: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Q3 of each protein."""
    return score_set(states, labels).accuracy


def reprof(msa_NL: np.ndarray) -> np.ndarray:
    """ReProf's states of the first row of an alignment, as ours: H, E, C as 0, 1, 2.

    A sequence without homologs is read as such: with a profile of one row ReProf has 0.693 of them right, so 0.722.
    """
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        query, given = here / "q.fasta", here / "q.fasta"
        query.write_text(f">q\n{decode(msa_NL[0])}\n")
        if len(msa_NL) > 1:
            aligned, given = here / "aligned.fasta", here / "q.blastPsiMat"
            aligned.write_text("".join(f">{number}\n{decode(row_L)}\n" for number, row_L in enumerate(msa_NL)))
            run_program("psiblast", "-in_msa", aligned, "-subject", query, "-out_ascii_pssm", given)
        run_program("reprof", "-i", given, "-o", here / "q.reprof")
        return read_reprof((here / "q.reprof").read_text())


def read_reprof(text: str) -> np.ndarray:
    """The column PHEL of ReProf's table; L, for loop, is our C."""
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    column = lines[0].index("PHEL")
    return np.array([STATES.index(line[column].replace("L", "C")) for line in lines[1:]])
