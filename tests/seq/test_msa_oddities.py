"""Alignments as programs write them: what is no homolog counts nowhere, and what is no alignment is named."""

import numpy as np
import pytest

from protray.data.secondary.proteins import ProteinSettings, protein_row
from protray.seq.alphabet import decode
from protray.seq.errors import InputError
from protray.seq.msa import Msa, parse_msa, read_msa

Q, H = "MKVLAGIVGWKR", "MKVLAG--GWKR"
QUERY, HIT = f">q\n{Q}\n", f">h1\n{H}\n"
CLEAN = (QUERY + HIT).encode()


def row(msa: Msa) -> dict:
    return protein_row(msa, ss3=None, ss8=None, cluster="", split="", settings=ProteinSettings())


def same_as_clean(raw: bytes, fmt: str = "a3m", clean: bytes = CLEAN) -> None:
    """Query, count, Meff and residue counts (of which the PSSM is made, with N) are those of the clean alignment."""
    found, expected = row(parse_msa(raw, fmt, "x.a3m")), row(parse_msa(clean, "a3m", "x.a3m"))
    for name in ("sequence", "n_rows", "msa_count", "meff", "msa"):
        assert found[name] == expected[name], name
    np.testing.assert_array_equal(found["counts"], expected["counts"])


def refused(raw: bytes | str, fmt: str | None = "a3m", source: str = "x.a3m") -> tuple[int | None, str]:
    with pytest.raises(InputError) as caught:
        parse_msa(raw if isinstance(raw, bytes) else raw.encode(), fmt, source)
    assert "\n" not in caught.value.reason and len(caught.value.reason) <= 300
    return caught.value.line, caught.value.reason


ANNOTATION = {
    "ss_pred PSIPRED predicted": "CCHHHHHHHHCC",
    "ss_conf": "987654321012",
    "ss_dssp": "--HHHHTTS---",
    "SS_PRED": "CCHHHHHHHHCC",
    "sa_dssp": "BBAACDE--EEA",
    "sa_pred": "BBAA--BBAABB",
    "aa_dssp": "MKVLAGIVGWKR",
    "aa_pred": "MKVLAGIVGWKR",
    "ss_pred_T0123": "CCHHHHHHHHCC",
    "psipred": "CCHHHHHHHHCC",
    "jnetpred": "--HHHHHHEE--",
    "Consensus": "MKVLAGIVGWKK",
    "q_consensus of all": "MKVLAGIVGWKK",
    "Cons-q": "MKVLAGIVGWKK",
}


@pytest.mark.parametrize("name", ANNOTATION)
@pytest.mark.parametrize("fmt", ["a3m", "fasta"])
def test_annotation_rows_are_no_homologs_wherever_they_stand(name, fmt) -> None:
    extra = f">{name}\n{ANNOTATION[name]}\n"
    for raw in (extra + QUERY + HIT, QUERY + extra + HIT, QUERY + HIT + extra, extra * 2 + QUERY + extra + HIT):
        same_as_clean(raw.encode(), fmt)
    same_as_clean(f"{QUERY}>{name}\n{ANNOTATION[name][:6]}\n{ANNOTATION[name][6:]}\n{HIT}".encode(), fmt)


@pytest.mark.parametrize("name", ANNOTATION)
def test_annotation_rows_of_stockholm(name) -> None:
    extra = f"{name.split()[0]} {ANNOTATION[name]}\n"
    for rows in (extra + f"q {Q}\nh1 {H}\n", f"q {Q}\n{extra}h1 {H}\n"):
        same_as_clean(f"# STOCKHOLM 1.0\n#=GC SS_cons HHHH\n{rows}//\n".encode(), "stockholm")


def test_lines_of_errors_count_annotation_rows_too() -> None:
    line, reason = refused(">ss_pred\nCC\nHH\n" + QUERY + ">ss_conf\n99\n>bad\nMKVL\n")
    assert (line, "row 2 (bad) has 4 aligned columns" in reason) == (9, True)


def test_proteins_whose_names_begin_as_annotation_does_are_read() -> None:
    raw = QUERY + f">sa_0123\n{H}\n>ss_17\n{H}\n>dssp2\n{H}\n>consensusA\n{H}\n"
    assert len(parse_msa(raw.encode(), "a3m", "x.a3m").codes_NL) == 5


def test_a_consensus_in_front_is_that_of_the_query_or_an_error() -> None:
    same_as_clean(f">Q_consensus\n{Q}\n".encode() + CLEAN)
    line, reason = refused(f">other_consensus\n{Q}\n{QUERY}{HIT}")
    assert line == 3 and "'other_consensus' stands first" in reason and "not of the next row, 'q'" in reason
    assert "nothing but annotation and consensus rows" in refused(f">my_consensus\n{Q}\n")[1]


def test_rows_of_states_without_such_a_name_are_an_error() -> None:
    line, reason = refused(f"{QUERY}>pred\nCCHHHHHHHHCC\n{HIT}")
    assert (line, reason[:43]) == (4, "row 2 (pred) holds secondary-structure stat")
    dssp = "--HHHHTTSEEEEGGGTTS-EEEEETTEEEEEHHH-"
    assert refused(f">q\n{Q * 3}\n>dssp8\n{dssp}\n", "fasta")[0] == 4
    assert "secondary-structure states" in refused(f">pred\nCCHHHHHHHHCC\n{QUERY}")[1]
    glutamates = f"{QUERY}>h\nEEEEEEEEEEEE\n>i\nHECHECHECHEC\n"  # low complexity, and no runs
    assert len(parse_msa(glutamates.encode(), "a3m", "x").codes_NL) == 3


@pytest.mark.parametrize(
    ("letters", "fmt"),
    [("-" * 12, "a3m"), ("." * 12, "fasta"), ("~" * 12, "fasta"), ("XX--XXXXXXXX", "a3m"), ("kk" + "-" * 12, "a3m")],
)
def test_rows_without_an_amino_acid_count_nowhere(letters, fmt) -> None:
    same_as_clean((QUERY + HIT + f">pad1\n{letters}\n>pad2\n{letters}\n").encode(), fmt)


def test_rows_with_residues_only_where_the_query_has_gaps_count_nowhere() -> None:
    raw = f">q\nMKVLAG--IVGWKR\n>h1\n{H[:6]}EE{H[6:]}\n>other\n------EE------\n"
    same_as_clean(raw.encode(), "fasta")


def test_a_query_of_unknown_residues_stays() -> None:
    assert [decode(one) for one in parse_msa(b">q\nXXX\n>h\nACD\n", "a3m", "x").codes_NL] == ["XXX", "ACD"]


def test_the_query_again_under_its_name_is_no_homolog() -> None:
    for again in (f">q\n{Q}\n", f">q more\n{Q[:5]}\n{Q[5:]}\n", ">q\nMKVLAGeeIVGWKR\n"):
        same_as_clean((QUERY + HIT + again).encode())
        same_as_clean((QUERY + again + HIT).encode())
    found = parse_msa((QUERY + HIT + f">UniRef100_P1\n{Q}\n>q\n{H}\n").encode(), "a3m", "x").codes_NL
    assert [decode(one) for one in found] == [Q, H, Q, H]  # another name, or other letters: homologs


def test_colabfold_alignments_of_one_chain() -> None:
    for head in ("#12\t1\n>101\n", "#12\t2\n>101\n"):  # the second: two copies of one chain
        same_as_clean(f"{head}{Q}\n{HIT}>101\n{Q}\n".encode())


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("#6,6\t1,1\n>101\t102\n", "2 chains (6, 6 residues)"),
        ("#6,6 1,1\n>101\n", "2 chains (6, 6 residues)"),
        ("#4,4,4\t1,2,1\r\n>101\t102\t103\r\n", "3 chains (4, 4, 4 residues)"),
        (">101\t102\n", "2 chains"),
        ("#" + ",".join("6" * 2002) + "\t1\n>101\n", "2002 chains (6, 6, 6 and 1,999 more residues)"),
    ],
)
def test_complexes_of_colabfold_are_named(head, said) -> None:
    line, reason = refused(f"{head}{Q}\n>101\nMKVLAG------\n>h1\nMRVLSG------\n")
    assert line == 1 and said in reason and "give one alignment per chain" in reason


def test_a_query_in_lower_case_is_named_with_letters_and_places() -> None:
    line, reason = refused(">q\nMKVLsdAGIVGWKR\n>h1\nMKVLAG--GWKR\n>h2\nMRVLeAGIVGWRR\n")
    assert line == 2 and "residues s, d (positions 5, 6) in lower case" in reason and "upper case" in reason
    assert "a, c, d, e, f and 3 more (positions 2, 3, 4, 5, 6 and 3 more)" in refused(">q\nM-acdefghi\n")[1]
    assert "write the query in upper case" in refused(">q\nmkvl\n>h\nMKVL\n", "a2m")[1]


def test_a2m_whose_rows_have_all_columns_keeps_lower_case_of_the_query() -> None:
    """As EVcouplings writes it: columns with many gaps are in lower case, in every row."""
    raw = b">q\nMKVLsdAGIV.R\n>h1\nMKVL.eA-IV.R\n>h2\nM-VL..AGIVkR\n"
    assert [decode(one) for one in parse_msa(raw, "a2m", "x").codes_NL] == ["MKVLSDAGIVR", "MKVL-EA-IVR", "M-VL--AGIVR"]
    assert "in lower case" in refused(raw.replace(b"h2\nM-VL..", b"h2\nM-V.L."), "a2m")[1]


@pytest.mark.parametrize("fmt", ["a3m", "fasta"])
def test_sequence_and_states_in_one_record(fmt) -> None:
    record = ">1abc_A\nMKVLAGIVGWKRSTAYDE\nCCHHHHHHHHCCEEEECC\n"
    line, reason = refused(record, fmt)
    assert line == 1 and reason.startswith("sequence and states in one record; ")
    wrapped = ">q\nMKVLAGIVGWKR\nSTAYDE\nCCHHHHHHHHCC\nEEEECC\n"
    assert "sequence and states" in refused(wrapped, fmt)[1]
    assert "sequence and states" in refused(f">q\n{Q}\nCCHHHHHHHHCC\nCCGGGHHHHHTC\n", fmt)[1]
    assert len(parse_msa(b">q\nMKVLAG\nIVGWKR\n", fmt, "x").codes_NL[0]) == 12  # wrapped in two lines of one length


NUCLEIC = {
    "tRNA": "GCGGAUUUAGCUCAGUUGGGAGAGCG",
    "gaps": "GCGG--AUUUAGC..UCAGUUGGG",
    "DNA": "ACGTACGTTAGGACCATTACGGT",
    "soft-masked": "acgtacgttaggaccattacggt",
    "bases that are not known": "ACGTNNNNACGTTAGGRYACCATTACGGT",
    "short RNA": "ACGUACGUUA",
}


@pytest.mark.parametrize("name", NUCLEIC)
def test_nucleic_acids_are_named(name) -> None:
    letters = NUCLEIC[name]
    line, reason = refused(f"# STOCKHOLM 1.0\nr1 {letters}\nr2 {letters}\n//\n", "stockholm")
    assert line == 2 and "nucleic acids" in reason


@pytest.mark.parametrize("letters", ["A" * 30, "GAGAGAGAGAGAGAGACAGAGAGAGAGAGAG", "AAT" * 10, "ACGTACGTACG", "CGU"])
def test_proteins_of_few_kinds_of_residues_are_proteins(letters) -> None:
    """Polyalanine, silk, an antifreeze protein (P02732) and peptides."""
    assert len(parse_msa(f">p\n{letters}\n".encode(), "fasta", "x").codes_NL[0]) == len(letters)


def test_foldseek_states_are_named() -> None:
    states = "dpwcvvaaaeaadalvdpdlryfhqdhqqdddprhglcvqfqeeeelcqqqpdflddpvddgdfdgpl"  # of 1A0C_D
    assert "3Di states" in refused(f">x\n{states}\n", "fasta")[1]
    soft = "mkvlagivgwkrstaydefthqnpkalekireteagvkfgrdlsnwi"
    assert len(parse_msa(f">x\n{soft}\n".encode(), "fasta", "x").codes_NL[0]) == len(soft)


def test_one_entry_of_a_database_ends_with_nul() -> None:
    same_as_clean(CLEAN + b"\0")
    same_as_clean(CLEAN + b"\0\n")
    for count, said in ((2, "two alignments separated by NUL"), (2000, "2,000 alignments separated by NUL")):
        line, reason = refused((CLEAN + b"\0") * count)
        assert line == 5 and said in reason and "MMseqs2" in reason and "one file per protein" in reason


def test_stockholm_names_that_occur_twice() -> None:
    line, reason = refused(f"# STOCKHOLM 1.0\nq {Q}\nh1 {H}\nq {Q}\n//\n", "stockholm")
    assert line == 4 and "name 'q' occurs more than once (lines 2, 4)" in reason
    assert refused(f"# STOCKHOLM 1.0\nq {Q}\nq {Q}\n//\n", "stockholm")[0] == 3
    apart = f"# STOCKHOLM 1.0\nq {Q}\nh1 {H}\n\nq {Q}\n//\n"  # a second block without h1
    assert "(lines 2, 5)" in refused(apart, "stockholm")[1]
    blocks = f"\n# STOCKHOLM 1.0\n\nq {Q[:6]}\nh1 {H[:6]}\n\nq {Q[6:]}\nh1 {H[6:]}\n\n//\n"
    same_as_clean(blocks.encode(), "stockholm")


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_marks(end, mark) -> None:
    same_as_clean(mark + CLEAN.replace(b"\n", end.encode()))
    stockholm = f"# STOCKHOLM 1.0\nq {Q}\nh1 {H}\n//\n"
    same_as_clean(mark + stockholm.replace("\n", end).encode(), "stockholm")
    assert "2 chains" in refused(mark + f"#6,6\t1,1\n>101\n{Q}\n".replace("\n", end).encode())[1]


def test_stop_codons_at_the_ends_of_rows() -> None:
    for stars in (("*", "*"), ("*", ""), ("", "*")):
        same_as_clean(f">q\n{Q}{stars[0]}\n>h1\n{H}{stars[1]}\n".encode())
    assert "row 2 (h) has 3 aligned columns" in refused(">q\nACD*E\n>h\nAC*\n")[1]


def test_blanks_and_other_gaps() -> None:
    same_as_clean(f">q\n{Q[:4]} {Q[4:]}\n>h1\n{H[:5]}\t{H[5:]}\n".encode())
    same_as_clean(f"\n\n{QUERY}\n\n{HIT}\n".encode())
    same_as_clean(f">q\n{Q}\n>h1\n{H.replace('-', '~')}\n".encode(), "fasta")


FOREIGN = {
    "PIR format": ">P1;q\nsome description\nMKV*\n",
    "MSF format": "!!AA_MULTIPLE_ALIGNMENT 1.0\n\n x.msf MSF: 12 Type: P\n//\n",
    "PHYLIP format": f" 2 12\nq         {Q}\nh1        {H}\n",
    "NEXUS format": "#NEXUS\nbegin data;\nmatrix\nq MKV\n;\nend;\n",
    "Clustal format": f"CLUSTAL O(1.2.4) multiple sequence alignment\n\nq {Q} 12\n   ***:. **\n",
    "a Stockholm file": f"# STOCKHOLM 1.0\nq {Q}\n//\n",
    "a profile HMM": "HHsearch 1.5\nNAME  x\nSEQ\n>ss_pred\nCC\n#\n",
    "an HTML page": "<!DOCTYPE html>\n<html>404</html>\n",
    "a Git LFS pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
    "a table (m8": "q\tt\t0.5\t10\t1\t2\t3\t4\t5\t6\t1e-5\t50\n",
    "a JSON file": '{"a": 1}\n',
    "a GenBank, EMBL or UniProt entry": "LOCUS       X\nORIGIN\n        1 mkvlagivgw kr\n",
    "a structure file": "ATOM      1  CA  MET A   1       0.000   0.000   0.000\n",
    "FASTQ format": "@r1\nACGT\n+\nIIII\n",
    "a PSSM of PSI-BLAST": "\nLast position-specific scoring matrix computed\n",
    "a prediction of PSIPRED": "# PSIPRED VFORMAT (PSIPRED V4.0)\n\n   1 M C   0.999\n",
    "a report of a search": "Query         q\nMatch_columns 12\n",
}


@pytest.mark.parametrize(
    ("kind", "fmt"),
    [(kind, fmt) for kind in FOREIGN for fmt in ("a3m", "fasta", None) if fmt or "Stockholm" not in kind],
)
def test_other_formats_are_named(kind, fmt) -> None:
    line, reason = refused(FOREIGN[kind], fmt)
    assert line == 1 and kind in reason and (":" in reason or ";" in reason)


MIXED = {
    "two alignments separated by '//'": (QUERY + HIT + "//\n" + QUERY, 5),
    "does a second alignment begin here?": (QUERY + HIT + "#cl-2\n" + QUERY, 5),
    "':' parts chains": (f">q\n{Q[:6]}:{Q[6:]}\n", 2),
    "'/' parts chains": (f">q\n{Q[:6]}/{Q[6:]}\n", 2),
    "remove numbers": (">q\n1 MKVLAGIVGW 10\n", 2),
    "is this an A3M file?": (QUERY + ">h\nMKVLAGkkIVGWKR\n", 4),
    "UTF-16 text; save it": ((QUERY + HIT).encode("utf-16-le"), 1),
}


@pytest.mark.parametrize("said", MIXED)
def test_what_to_do_is_said(said) -> None:
    raw, line = MIXED[said]
    at, reason = refused(raw, "fasta")
    assert said in reason and at == line


def test_reasons_stay_short_for_long_names(tmp_path) -> None:
    refused(f"{QUERY}>{'x' * 5000}\nMKV\n")
    refused("# STOCKHOLM 1.0\n" + f"{'q' * 5000} {Q}\n" * 2 + "//\n", "stockholm")
    path = tmp_path / "p.a3m"
    path.write_bytes(CLEAN)
    assert read_msa(path).id == "p"
