"""Reading many proteins of which some are unusable, and finding the one that spoils a batch."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_model import LM_CHANNELS, save_tiny_lm, save_tiny_model

from protray.inference.secondary import many as module
from protray.inference.secondary.many import Source, StoredMap, by_length, predict_part, read_query
from protray.inference.secondary.predict import Prediction, Predictor, Query
from protray.plm.masked import hidden_rows, probability_map
from protray.seq.alphabet import decode, encode


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
        ("AC1DE", "'1' at position 3 is no residue; remove numbers and confidence values"),
        ("ACDEFA", "6 residues; the limit is 5, see --max-length"),
        ("XXBZ", "none of its 4 residues is one of the 20 amino acids"),
    ],
)
def test_records_that_cannot_be_predicted(predictor, sequence, reason) -> None:
    found = predict_part(predictor, [Source("good", "f", 1, "ACD"), Source("bad", "f", 3, sequence)], 5)
    assert found.rows["id"].to_pylist() == ["good"]
    assert [(error.id, error.file, error.line, error.reason) for error in found.rejected] == [("bad", "f", 3, reason)]


def test_letters_of_a_record() -> None:
    """Lower case is masked, '*' at the end a stop codon, and B J O U X Z stand for no single residue."""
    query = read_query(Source("p", "f", 1, "mkBJOUXZw*"), 5000)
    assert query.msa_NL.shape == (1, 9)
    assert decode(query.msa_NL[0]) == "MKXXXXXXW"


def test_a_record_is_an_alignment_of_one_row(predictor, tmp_path) -> None:
    (tmp_path / "p.a3m").write_text(">p\nMKTAYIAKQR\n")
    from_file = predict_part(predictor, [Source("p", str(tmp_path / "p.a3m"))], 5000).rows
    from_record = predict_part(predictor, [Source("p", "any.fasta", 1, "MKTAYIAKQR")], 5000).rows
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
    found = predict_part(predictor, sources, 5000)
    whole = found.rows
    assert (found.rejected, found.too_large) == ([], {})
    assert whole["id"].to_pylist() == ["p0", "p1", "p2", "p3"]
    assert whole["msa_count"].to_pylist() == [0, 1, 2, 3]
    assert [len(prob) for prob in whole["prob"].to_pylist()] == [60, 9, 93, 24]
    backwards = predict_part(predictor, sources[::-1], 5000).rows
    monkeypatch.setattr(module, "HELD_BYTES", 0)  # every protein alone
    alone = predict_part(predictor, sources, 5000).rows
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


def test_one_protein_does_not_spoil_its_batch() -> None:
    sources = [Source(id, "f", line, "AC") for line, id in enumerate(["one", "bad", "two", "infinite", "three"])]
    sources.insert(1, Source("gap", "f", 9, "A-C"))
    found = predict_part(SimpleNamespace(predict=spoiled), sources, 5000)  # type: ignore[arg-type]
    assert found.rows["id"].to_pylist() == ["one", "two", "three"]
    assert [error.id for error in found.rejected] == ["gap", "infinite"]
    assert found.rejected[1].reason == "its probabilities are not finite"
    assert found.too_large == {"bad": "out of memory: too large"}


def test_what_is_no_fault_of_a_protein_is_raised(predictor, tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        predict_part(predictor, [Source("gone", str(tmp_path / "gone.a3m"))], 5000)

    def fails(queries: Sequence[Query]) -> list[Prediction]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        predict_part(SimpleNamespace(predict=fails), [Source("p", "f", 1, "AC")], 5000)  # type: ignore[arg-type]


def test_proteins_longer_than_the_language_model_reads_are_read_in_windows(tmp_path) -> None:
    """40 positions - 2 special tokens - padding index 1 - 1 = 36 residues."""
    lm = save_tiny_lm(tmp_path / "lm", positions="absolute")
    predictor = Predictor.open(save_tiny_model(tmp_path / "model", lm))
    assert predictor.lm is not None and predictor.lm.longest == 36
    found = predict_part(predictor, [Source("long", "f", 3, "MKTAYIAKQR" * 5)], 5000)
    assert [len(prob) for prob in found.rows["prob"].to_pylist()] == [150]
    codes_L = encode("MKTAYIAKQR" * 5)
    hidden_LC = hidden_rows(predictor.lm, codes_L).astype(np.float16).astype(np.float32)
    query = Query("long", codes_L[None], probability_map(predictor.lm, codes_L), hidden_LC)
    np.testing.assert_allclose(found.rows["prob"][0].as_py(), predictor.predict([query])[0].prob_L3.ravel(), atol=1e-6)


def test_stored_maps_are_used_where_the_sequence_is_the_same(predictor) -> None:
    flat = StoredMap("MKX", np.full((3, 20), 0.05, np.float32), np.zeros((3, LM_CHANNELS), np.float32))
    sources = [Source("same", "f", 1, "mkb"), Source("other", "f", 3, "MKW")]
    found = predict_part(predictor, sources, 5000, lambda source: flat)
    expected = predictor.predict([Query("same", encode("MKX")[None], flat.prob_LA, flat.hidden_LC)])[0]
    np.testing.assert_allclose(found.rows["prob"][0].as_py(), expected.prob_L3.ravel(), atol=1e-6)
    assert [(error.id, error.reason) for error in found.rejected] == [("other", "its map is of another sequence")]
