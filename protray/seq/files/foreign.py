"""What a file is that was taken for an alignment or a FASTA file: told by its first lines, to be named in an error."""

import re

CONVERT = "convert to FASTA or A3M"
PIR_TYPES = ("P1", "F1", "DL", "DC", "RL", "RC", "N1", "N3", "XX")
_KINDS = (
    (rb"# STOCKHOLM", "a Stockholm file", "name it .sto"),
    (rb"(?:CLUSTAL|MUSCLE|PROBCONS|KALIGN|T-COFFEE|MSAPROBS)\b[^\n]*[ (\n]", "Clustal format", "convert to FASTA"),
    (rb">(?:%b);" % "|".join(PIR_TYPES).encode(), "PIR format", CONVERT),
    (rb"(?:!![AN]A_MULTIPLE_ALIGNMENT|PileUp|[^\n]*\bMSF: *\d+)", "MSF format", CONVERT),
    (rb"#NEXUS", "NEXUS format", CONVERT),
    (rb"[ \t]*\d+[ \t]+\d+(?:[ \t]+[A-Z])?[ \t]*\n", "PHYLIP format", CONVERT),
    (rb"HMMER\d|HH(?:search|blits|M) \d|NAME  ", "a profile HMM", "give the alignment that it was made of"),
    (rb"(?i)<!doctype html|<html|<head|<body", "an HTML page", "download it again, as it may tell of an error"),
    (rb"<\?xml|<", "an XML file", CONVERT),
    (rb"version https://git-lfs", "a Git LFS pointer", "fetch the file itself with git lfs pull"),
    (rb"LOCUS  |ID   |DEFINITION ", "a GenBank, EMBL or UniProt entry", CONVERT),
    (
        rb"(?:HEADER|REMARK|ATOM  |HETATM|CRYST1|MODEL ) *|data_\w",
        "a structure file",
        "give it as sequences",
    ),
    (rb"# PSIPRED|Conf: ?\d", "a prediction of PSIPRED", "give the alignment or sequence that it was made of"),
    (rb"\s*Last position-specific", "a PSSM of PSI-BLAST", "give the alignment that it was made of"),
    (
        rb"Query  +\S|T?BLAST[NPX] \d|PSIBLAST|# T?BLAST[NPX]",
        "a report of a search",
        "ask the program for an alignment",
    ),
    (rb"(?:[^\t\n]+\t){4,}[^\t\n]*\n", "a table (m8, CIGAR)", "ask the search program for an alignment"),
    (rb"(?i)(?:\w+[,;\t])*(?:id|name|seq|sequence)(?:[,;\t]\w+)+\s*\n", "a table", CONVERT),
    (rb"@[^\n]*\n[A-Za-z.*-]+\n\+", "FASTQ format", "reads of nucleic acids are no proteins"),
    (rb"[{\[]", "a JSON file", CONVERT),
)

_COMPILED = tuple((re.compile(pattern), name, remedy) for pattern, name, remedy in _KINDS)


def looks_like(text: bytes) -> str | None:
    """What the text looks like by its beginning, and what to do; None if nothing is known that begins so.

    >>> looks_like(b"<html>404</html>")
    'looks like an HTML page: download it again, as it may tell of an error'
    """
    start = text[:4096].lstrip()
    return next((f"looks like {name}: {remedy}" for kind, name, remedy in _COMPILED if kind.match(start)), None)
