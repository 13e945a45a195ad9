"""Names of chains in cluster files and lists of test sets, and which of several chains is kept."""

import random
from pathlib import Path

import pytest

from protray.data.structure.splits import (
    ChainName,
    cluster_chains,
    clusters_of,
    listed_chains,
    not_the_best,
    read_exclusion,
    read_names,
    repeated,
)
from protray.seq.alphabet import AMINO_ACIDS
from protray.seq.errors import InputError

TABLE = Path("table.txt")


def chain(id: str, entity: str | None = "1", sequence: str = "ACD", resolution: float | None = None) -> ChainName:
    return ChainName(id, id.partition("_")[0], entity, sequence, resolution, f"{id}.cif")


CHAINS = dict(enumerate([chain("4hhb_A"), chain("4hhb_B", "2"), chain("4hhb_a", "2"), chain("1abc_A", None)]))


def test_by_chain_where_case_of_entries_does_not_matter_and_that_of_chains_does() -> None:
    clusters, missing = clusters_of(CHAINS, {"4HHB_A": "x", "4HHB_a": "y", "1ABC_A": "x"}, TABLE)
    assert clusters == {0: "x", 2: "y", 3: "x"}
    assert missing == {1: "no cluster for '4hhb_B' in table.txt"}


def test_by_entity_and_pdb_files_have_none() -> None:
    clusters, missing = clusters_of(CHAINS, {"4HHB_1": "x", "4HHB_2": "y", "1ABC_1": "z"}, TABLE)
    assert clusters == {0: "x", 1: "y", 2: "y"}
    assert "table.txt goes by entity, and the file has none" in missing[3]


def test_a_file_of_another_name_is_found_by_its_entry() -> None:
    renamed = {0: ChainName("mine_A", "4HHB", "1", "ACD", None, "mine.cif")}
    assert clusters_of(renamed, {"4HHB_A": "x"}, TABLE)[0] == {0: "x"}
    assert clusters_of(renamed, {"mine_A": "own", "4HHB_A": "x"}, TABLE)[0] == {0: "own"}
    assert "no cluster for 'mine_A' or '4HHB_A'" in clusters_of(renamed, {"1ABC_A": "x"}, TABLE)[1][0]


def test_lists_name_chains_entities_and_entries() -> None:
    assert listed_chains(CHAINS, ["4hhb_B", "1ABC", "9XYZ"]) == {1: "4hhb_B", 3: "1ABC"}
    assert listed_chains(CHAINS, ["4HHB_2"]) == {1: "4HHB_2", 2: "4HHB_2"}


def test_repeated_ids() -> None:
    found = repeated([chain("a_A"), chain("b_A"), chain("a_A"), chain("a_A")])
    assert set(found) == {2, 3}
    assert found[2] == "id 'a_A' is also that of a chain of a_A.cif, which is kept"


def test_the_best_has_the_best_resolution_then_the_most_residues_then_the_first_id() -> None:
    chains = dict(
        enumerate(
            [
                chain("p_A", sequence="AAAA"),
                chain("q_A", sequence="AAA", resolution=3.0),
                chain("r_A", sequence="AA", resolution=1.5),
                chain("t_A", sequence="AAA", resolution=1.5),
                chain("s_A", sequence="AAA", resolution=1.5),
                chain("z_A", sequence="W"),
            ]
        )
    )
    groups = "xxxxxy"
    assert not_the_best(chains, groups.__getitem__) == {0: "s_A", 1: "s_A", 2: "s_A", 3: "s_A"}


# ---- complexes

RANDOM = {name: "".join(random.Random(name).choices(AMINO_ACIDS, k=60)) for name in "ABCDE"}


def complex_of(id: str, names: str) -> ChainName:
    """A row of the chains that are named, one after the other."""
    numbers = [number for number, name in enumerate(names) for _ in RANDOM[name]]
    return ChainName(id, id, None, "".join(RANDOM[name] for name in names), None, id, numbers if names[1:] else None)


COMPLEXES = {
    n: complex_of(id, names) for n, (id, names) in enumerate({"4d": "AB", "3c": "BC", "2b": "CC", "1a": "D"}.items())
}


def test_sequences_of_a_complex() -> None:
    assert COMPLEXES[0].sequences == [RANDOM["A"], RANDOM["B"]]
    assert COMPLEXES[2].sequences == [RANDOM["C"]] * 2
    assert COMPLEXES[3].sequences == [RANDOM["D"]] and chain("4hhb_A").sequences == ["ACD"]


def test_complexes_that_share_a_chain_are_in_one_cluster() -> None:
    """AB and BC by B, BC and CC by C; named after the first id of theirs."""
    assert cluster_chains(COMPLEXES, 0.25) == {0: "2b", 1: "2b", 2: "2b", 3: "1a"}
    assert cluster_chains({0: COMPLEXES[0], 2: COMPLEXES[2]}, 0.25) == {0: "4d", 2: "2b"}


def test_what_names_or_is_related_to_a_chain_leaves_out_its_complex(tmp_path) -> None:
    assert listed_chains(COMPLEXES, ["4D_B", "9XYZ_A", "1A"], complexes=True) == {0: "4D_B", 3: "1A"}
    assert listed_chains(COMPLEXES, ["4D_B", "1A"]) == {3: "1A"}
    fasta = tmp_path / "test.fasta"
    fasta.write_text(f">t\n{RANDOM['C']}\n")
    found = read_exclusion(fasta).related(COMPLEXES, 0.3)
    assert found.keys() == {1, 2} and found[1] == f"excluded: a relative of 't' in {fasta}"


def test_reading_names(tmp_path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("4HHB 1ABC_A # two\n\n2XYZ_1\n")
    assert read_names(path) == ["4HHB", "1ABC_A", "2XYZ_1"]
    path.write_text("# none\n")
    with pytest.raises(InputError, match="the list of ids is empty"):
        read_names(path)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_exclusions_with_byte_order_marks_and_other_line_ends(tmp_path, mark, end) -> None:
    (tmp_path / "x").write_bytes((mark + b"\n>a\nACDE\n>b\nFG\n").replace(b"\n", end))
    assert read_exclusion(tmp_path / "x").sequences == {"a": "ACDE", "b": "FG"}
    (tmp_path / "x").write_bytes((mark + b"4HHB\n1ABC_A # mine\n").replace(b"\n", end))
    assert read_exclusion(tmp_path / "x").names == ["4HHB", "1ABC_A"]
