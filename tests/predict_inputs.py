"""Proteins for the tests of jobs/predict.py."""

from pathlib import Path

from protray.data.location import Location

PROTEINS = {f"p{n}": ("MKTAYIAKQRLEDWCHFGPNSV" * 3)[n : n + 10 + 3 * n] for n in range(8)}


def fasta(folder: Path, proteins: dict[str, str]) -> Location:
    (folder / "p.fasta").write_text("".join(f">{name}\n{letters}\n" for name, letters in proteins.items()))
    return Location(folder / "p.fasta")
