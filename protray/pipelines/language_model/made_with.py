"""What probability maps were made with, for the jobs that read the finished folders of jobs/prob_maps.py."""

from dataclasses import asdict, dataclass, fields

from protray.cluster.storage.identity import digest
from protray.data.location import Location
from protray.plm.reading import Reading
from protray.plm.shipped import absolute, fingerprint


@dataclass(frozen=True, kw_only=True)
class MadeWith:
    """All that maps depend on."""

    proteins: str  # digest of the dataset, or of FASTA files
    lm: str  # name or folder
    fingerprint: str  # of the language model
    reading: Reading
    float16: bool = False
    hidden: bool = False

    @classmethod
    def of(cls, maps: Location) -> "MadeWith":
        """What a finished folder says of itself; ValueError if it is none."""
        record = maps / "summary.json"
        summary = record.read_json() if record.is_file() else {}
        if "language model" not in summary.get("identity", {}):
            raise ValueError(f"{maps}: this is no finished --out of jobs/prob_maps.py, which ends with summary.json")
        if summary["n_again"]:
            raise ValueError(
                f"{maps}: {summary['n_again']} proteins are to be tried again; run the command that made it once more"
            )
        identity = summary["identity"]
        lm, _, mark = identity["language model"].rpartition(" (")
        return cls(
            proteins=identity["proteins"], lm=lm, fingerprint=mark.removesuffix(")"), float16=identity["float16"],
            reading=Reading(**{field.name: identity[field.name] for field in fields(Reading)}),
            hidden=identity["hidden"],
        )  # fmt: skip

    def misfits(self, lm: str | None, reading: Reading | None, hidden: bool) -> list[str]:
        """Why these maps are not those of the language model `lm` in a `reading` (None: any will do).

        The name or place of the language model is free; its content is not.
        """
        found = []
        if lm is not None and (mark := fingerprint(lm)) != self.fingerprint:
            found.append(f"they are of the language model {self.lm} ({self.fingerprint}), not of {lm} ({mark})")
        if reading not in (None, self.reading):
            found.append(f"they were read in {described(self.reading)}, not in {described(reading)}")
        if hidden and not self.hidden:
            found.append("they have no hidden state; make maps with --hidden")
        return found

    @property
    def key(self) -> str:
        """Of the maps: where the language model lies does not count."""
        return digest({name: value for name, value in asdict(self).items() if name != "lm"})

    def __str__(self) -> str:
        half = ", stored in float16" if self.float16 else ""
        return f"{self.lm} (fingerprint {self.fingerprint}), {described(self.reading)}{half}"


def described(reading: Reading) -> str:
    """A reading in words."""
    passes = "one pass for each residue" if reading.passes == "exact" else f"{reading.passes} passes for a protein"
    window = "windows as long as the model reads" if reading.window is None else f"windows of {reading.window} residues"
    overlap = "" if reading.overlap is None else f" that share at least {reading.overlap}"
    return f"{reading.precision}, {passes}, {window}{overlap}"


def asked(proteins: str, lm: str, reading: Reading, hidden: bool) -> MadeWith:
    """What maps that are still to be computed will be made with."""
    mark = fingerprint(lm)
    return MadeWith(proteins=proteins, lm=absolute(lm), fingerprint=mark, reading=reading, hidden=hidden)
