"""Reading many proteins of which some are unusable, and finding the one that spoils a batch."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_model import save_tiny_lm, save_tiny_model

from protray.inference import many as module
from protray.inference.many import Source, by_length, predict_part, read_query
from protray.inference.predict import Prediction, Predictor, Query
from protray.plm import masked
from protray.seq.alphabet import decode


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    folder = tmp_path_factory.mktemp("many")
    return Predictor.open(save_tiny_model(folder / "model", save_tiny_lm(folder / "lm")))


@pytest.mark.parametrize(
    ("sequence", "reason"),
    [
        ("", "the record has no residue"),
        ("*", "the record has no residue"),
        ("AC-DE", "'-' at position 3 is no residue; is this an alignment?"),
        ("AC1DE", "'1' at position 3 is no residue"),
        ("ACDEFA", "6 residues; the limit is 5, see --max-length"),
    ],
)
def test_records_that_cannot_be_predicted(predictor, sequence, reason) -> None:
    table, errors = predict_part(predictor, [Source("good", "f", 1, "ACD"), Source("bad", "f", 3, sequence)], 5)
    assert table["id"].to_pylist() == ["good"]
    assert [(error.id, error.file, error.line, error.reason) for error in errors] == [("bad", "f", 3, reason)]


def test_letters_of_a_record(predictor) -> None:
    """Lower case is masked, '*' at the end a stop codon, and B J O U X Z stand for no single residue."""
    query = read_query(Source("p", "f", 1, "mkBJOUXZw*"), 5000, predictor)
    assert query.msa_NL.shape == (1, 9)
    assert decode(query.msa_NL[0]) == "MKXXXXXXW"


def test_a_record_is_an_alignment_of_one_row(predictor, tmp_path) -> None:
    (tmp_path / "p.a3m").write_text(">p\nMKTAYIAKQR\n")
    from_file, _ = predict_part(predictor, [Source("p", str(tmp_path / "p.a3m"))], 5000)
    from_record, _ = predict_part(predictor, [Source("p", "any.fasta", 1, "MKTAYIAKQR")], 5000)
    assert from_file.equals(from_record)
    assert from_file["msa_count"].to_pylist() == [0]


def test_parts_batches_and_memory_change_nothing(predictor, tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(3)
    sources = []
    for number, length in enumerate([20, 3, 31, 8]):
        rows = [decode(rng.integers(0, 20, length, dtype=np.uint8)) for _ in range(number + 1)]
        path = tmp_path / f"p{number}.a3m"
        path.write_text("".join(f">s\n{row}\n" for row in rows))
        sources.append(Source(f"p{number}", str(path)))
    whole, errors = predict_part(predictor, sources, 5000)
    assert errors == []
    assert whole["id"].to_pylist() == ["p0", "p1", "p2", "p3"]
    assert whole["msa_count"].to_pylist() == [0, 1, 2, 3]
    assert [len(prob) for prob in whole["prob"].to_pylist()] == [60, 9, 93, 24]
    backwards, _ = predict_part(predictor, sources[::-1], 5000)
    monkeypatch.setattr(module, "HELD_BYTES", 0)  # every protein alone
    alone, _ = predict_part(predictor, sources, 5000)
    for other in (backwards.take([3, 2, 1, 0]), alone):
        assert other.drop(["prob"]).equals(whole.drop(["prob"]))
        for row in range(4):
            np.testing.assert_allclose(other["prob"][row].as_py(), whole["prob"][row].as_py(), atol=1e-5)


def test_batches_by_hand(monkeypatch) -> None:
    """At most 100 padded residues: 10, 20, 30 fit (3 x 30), 40 would make 4 x 40; 40 + 45 fit; 200 is alone."""
    monkeypatch.setattr(module, "PADDED_RESIDUES", 100)
    queries = [Query("", np.zeros((1, length), dtype=np.uint8)) for length in (45, 10, 200, 30, 20, 40)]
    assert [[query.msa_NL.shape[1] for query in batch] for batch in by_length(queries)] == [
        [10, 20, 30], [40, 45], [200],
    ]  # fmt: skip


def spoiled(queries: Sequence[Query]) -> list[Prediction]:
    """Fails with a batch that holds `bad`, and gives `infinite` no numbers."""
    if any(query.id == "bad" for query in queries):
        raise MemoryError("too large")
    return [
        Prediction(q.id, 0, np.full((q.msa_NL.shape[1], 3), np.nan if q.id == "infinite" else 1 / 3), np.zeros((1, 20)))
        for q in queries
    ]


def test_one_protein_does_not_spoil_its_batch(tmp_path) -> None:
    sources = [Source(id, "f", line, "AC") for line, id in enumerate(["one", "bad", "two", "infinite", "three"])]
    sources.insert(1, Source("gone", str(tmp_path / "gone.a3m")))
    table, errors = predict_part(SimpleNamespace(lm=None, predict=spoiled), sources, 5000)  # type: ignore[arg-type]
    assert table["id"].to_pylist() == ["one", "two", "three"]
    assert [error.id for error in errors] == ["gone", "bad", "infinite"]
    assert errors[0].reason.startswith("unexpected FileNotFoundError")
    assert (errors[1].line, errors[1].reason) == (1, "unexpected MemoryError: too large")
    assert errors[2].reason == "its probabilities are not finite"


def test_the_language_models_own_limit_is_a_reason(tmp_path) -> None:
    """40 positions - 2 special tokens - padding index 1 - 1 = 36 residues."""
    lm = masked.load(str(save_tiny_lm(tmp_path / "lm", positions="absolute")))
    stub = SimpleNamespace(lm=lm, predict=spoiled)
    sources = [Source("fits", "f", 1, "A" * 36), Source("long", "f", 3, "A" * 37)]
    table, errors = predict_part(stub, sources, 5000)  # type: ignore[arg-type]
    assert table["id"].to_pylist() == ["fits"]
    assert errors[0].reason.startswith("37 residues; language model")
    assert errors[0].reason.endswith("reads at most 36")
