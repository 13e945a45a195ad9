"""The predictor in the package, on the sample's test split, which its training has not seen: Q3 as its README says."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from protray.data.sample import SAMPLE
from protray.evaluation.secondary import score_set
from protray.inference.secondary.many import by_length
from protray.inference.secondary.predict import Predictor, Query
from protray.models.secondary.shipped import PREDICTOR
from protray.seq.secondary import STATES, encode_states, to_three

STATED = {"<= 60": 0.790, "none": 0.745, "> 60": 0.841}
SAME = 0.002  # between processors


def test_q3_is_what_its_readme_says() -> None:
    columns = ["id", "ss8", "msa", "msa_rows"]
    rows = pq.read_table(SAMPLE, columns=columns, filters=[("split", "=", "test")]).to_pylist()
    queries = [Query(row["id"], np.frombuffer(row["msa"], np.uint8).reshape(row["msa_rows"], -1)) for row in rows]
    predictor = Predictor.open(PREDICTOR)
    found = {one.id: one.prob_L3.argmax(1) for batch in by_length(queries) for one in predictor.predict(batch)}
    labels = {row["id"]: encode_states(to_three(row["ss8"]), STATES) for row in rows}
    accuracy, homologs = score_set(found, labels).accuracy, np.array([row["msa_rows"] - 1 for row in rows])
    bins = {"<= 60": homologs <= 60, "none": homologs == 0, "> 60": homologs > 60}
    assert {name: float(accuracy[keep].mean()) for name, keep in bins.items()} == pytest.approx(STATED, abs=SAME)
