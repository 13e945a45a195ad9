"""Mutations of proteins and complexes: what a table may say, and which rows cannot be used."""

import numpy as np
import pytest
from decoys_here import decoys
from structure_text import pdb_chain

from protray.data.location import Location
from protray.data.structure.rows import CHAIN_GAP
from protray.data.tasks import stability
from protray.data.tasks.mutations import Mutant, parse_mutations, read_mutants, sequences_by_chain
from protray.data.tasks.stability import read_measurements
from protray.data.tasks.tables import TaskRow


def table(tmp_path, text: str) -> Location:  # noqa: ANN001
    (tmp_path / "t.csv").write_text(text)
    return Location(tmp_path / "t.csv")


def test_mutations_by_hand() -> None:
    assert parse_mutations("A42G; B:W-1aC") == [(None, "A", "42", "G"), ("B", "W", "-1a", "C")]
    for wrong in ("42G", "A42", "A42X", "x"):
        with pytest.raises(ValueError, match="is no mutation: .*; write A42G"):
            parse_mutations(wrong)
    for wrong, reason in (("A1A", "A1A changes nothing"), ("A1G,A1W", "residue 1 is mutated twice")):
        with pytest.raises(ValueError, match=reason):
            parse_mutations(wrong)
    with pytest.raises(ValueError, match="no mutation; write"):
        parse_mutations(" ")
    assert sequences_by_chain("MKVAA", (0, 3)) == ["MKV", "AA"]


def test_mutants_of_a_protein(tmp_path) -> None:
    body = "a,MKV,K2A,1.5\nb,MKV,K3A,1\nc,MKV,K4A,1\nd,MKV,K2A,much\nf,MKV,A:K2A,1\ne,MKV,M1A V3L,-2\n"
    found, errors = read_mutants(table(tmp_path, "id,sequence,mutation,value\n" + body), complexes=False)
    assert [(one.sites, one.was, one.to, one.value) for one in found] == [
        ((1,), "K", "A", 1.5), ((0, 2), "MV", "AL", -2.0),
    ]  # fmt: skip
    assert [error.reason.partition(";")[0] for error in errors] == [
        "K3A: residue 3 of the sequence is V", "K4A: the sequence has positions 1 to 3",
        "value 'much' is no finite number", "A:K2A: there are no chains in a table of single proteins",
    ]  # fmt: skip


@pytest.fixture
def complexes(tmp_path) -> Location:
    """A file of two chains, and a table of their mutants; numbers are those of the file."""
    one, two = decoys(2, 1)
    lines = [pdb_chain(decoy.sequence, name, decoy.backbone_L43) for decoy, name in ((one, "A"), (two, "B"))]
    (tmp_path / "c.pdb").write_text("\n".join([*lines[0], "TER", *lines[1], "TER", "END", ""]))
    first, last = one.sequence[0], two.sequence[2]
    to = "A" if last != "A" else "G"
    rows = [f"r{n},c.pdb,B:{last}3{to},{value},{n}" for n, value in enumerate((-1, 2, 0.5, -0.1))]
    rows += [f"x,c.pdb,C:{first}1W,1,0", f"y,c.pdb,A:{first}900W,1,0", "z,no.pdb,A:A1W,1,0"]
    rows += [f"w,c.pdb,{first}1W,1,0"]
    return table(tmp_path, "id,structure,mutation,value,cluster\n" + "\n".join(rows) + "\n")


def test_mutants_of_a_complex(complexes) -> None:
    one, two = decoys(2, 1)
    found, errors = read_mutants(complexes, complexes=True)
    assert len(found) == 4 and found[0].starts == (0, len(one.sequence))
    assert found[0].row.sequence == one.sequence + two.sequence
    assert found[0].sites == (len(one.sequence) + 2,) and found[0].was == two.sequence[2]
    observed = found[0].row.observed
    assert observed is not None and len(observed.backbone_cA) == 12 * len(found[0].row.sequence)
    assert "has no chain 'C'; it has A, B" in errors[0].reason
    assert "has no residue 900 with coordinates" in errors[1].reason
    assert len(errors) == 4 and "write the chain before it, such as A:" in errors[3].reason
    index_L, second = observed.index_L.tolist(), len(one.sequence)
    assert index_L[:second] == list(range(second)) and index_L[second] == second - 1 + CHAIN_GAP
    assert found[0].places_O is not None and found[0].places_O.tolist() == list(range(second + len(two.sequence)))


def test_residues_across_a_gap_of_a_complex_are_no_neighbours(tmp_path) -> None:
    one = decoys(1, 1)[0]
    lines = pdb_chain(one.sequence, "A", one.backbone_L43)
    kept = [line for line in lines if not line.startswith("ATOM") or not 6 <= int(line[22:26]) <= 9]
    (tmp_path / "c.pdb").write_text("\n".join([*kept, "TER", "END", ""]))
    to = "A" if one.sequence[0] != "A" else "G"
    [found], _ = read_mutants(
        table(tmp_path, f"id,structure,mutation,value\na,c.pdb,A:{one.sequence[0]}1{to},1\n"), complexes=True
    )
    assert found.row.observed is not None and found.row.observed.index_L[3:7].tolist() == [3, 4, 9, 10]


def test_complexes_that_share_a_chain_are_not_parted(tmp_path) -> None:
    """Seven complexes of a long chain each; the short one of the first two is the same."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), size)) for size in [80] * 7 + [40] * 6]
    partners = [words[7], words[7], *words[8:]]
    mutants = [
        Mutant(TaskRow(f"m{n}", long + short, "t.csv", n, None, {}), (0, len(long)), (0,), "W", 1.0)
        for n, (long, short) in enumerate(zip(words[:7], partners, strict=True))
    ]
    clusters = [row.more["cluster"] for row in stability._joined(mutants)]
    assert clusters[0] == clusters[1] and len(set(clusters)) == 6


def test_a_mutant_binds_better_below_zero(complexes) -> None:
    found, errors = read_measurements(complexes, "msp", 0)
    assert found.target_N.tolist() == [1, 0, 0, 1] and len(errors) == 4
    assert sorted(set(found.splits)) == ["test", "train", "validation"] and found.clusters == ["0", "1", "2", "3"]


def test_melting_temperatures_and_what_cannot_be_read(tmp_path) -> None:
    head = "id,sequence,value,cluster\n"
    found, errors = read_measurements(table(tmp_path, head + "a,MKV,50,1\nb,MKV,60,2\nc,MKV,,2\nd,MKV,7,3\n"),
                                      "thermostability", 0)  # fmt: skip
    assert found.target_N.tolist() == [50, 60, 7] and sum(found.sizes()) == 3 and not found.mutants
    assert [error.reason for error in errors] == ["value None is no finite number"]
    other, _ = read_measurements(table(tmp_path, head + "a,MKV,51,1\nb,MKV,60,2\nd,MKV,7,3\n"), "thermostability", 0)
    assert other.digest != found.digest
    with pytest.raises(
        ValueError, match="no row can be used; rows that cannot be used: 1, the first: .*no finite number"
    ):
        read_measurements(table(tmp_path, head + "a,MKV,x,1\n"), "thermostability", 0)
    with pytest.raises(ValueError, match="no column 'value'; it has id, sequence, cluster"):
        read_measurements(table(tmp_path, "id,sequence,cluster\na,MKV,1\n"), "thermostability", 0)
    assert np.isfinite(found.target_N).all()
