"""A prepared dataset in memory: Arrow columns seen as NumPy arrays, one protein at a time.

Shape key:  N aligned sequences   L residues   A amino-acid types (20)   C channels
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import read_parquet
from protray.seq.alphabet import N_AA, encode
from protray.seq.downsample import LOW_QUALITY
from protray.seq.secondary import IGNORE, STATES, STATES8, encode_states


@dataclass(frozen=True)
class Proteins:
    """Rows of `schemas.PROTEINS`, and beside them the rows of `schemas.MAPS` where a language model was run."""

    table: pa.Table
    maps: pa.Table | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return self.table.num_rows

    @cached_property
    def ids(self) -> list[str]:
        return self.table["id"].to_pylist()

    @cached_property
    def lengths(self) -> np.ndarray:
        return np.array([len(sequence) for sequence in self.table["sequence"].to_pylist()])

    @cached_property
    def msa_counts(self) -> np.ndarray:
        return self.table["msa_count"].to_numpy()

    @cached_property
    def meff(self) -> np.ndarray:
        return self.table["meff"].to_numpy()

    @cached_property
    def deep(self) -> np.ndarray:
        """True where the natural PSSM is of high quality: more than 60 homologs."""
        return self.msa_counts > LOW_QUALITY

    @cached_property
    def labelled(self) -> np.ndarray:
        """Labelled residues of each protein."""
        return np.array([int((self.ss3(index) >= 0).sum()) for index in range(len(self))])

    def of_split(self, split: str) -> np.ndarray:
        """Row numbers of one split."""
        return np.flatnonzero(np.array(self.table["split"].to_pylist()) == split)

    def sequence(self, index: int) -> str:
        return self.table["sequence"][index].as_py()

    def codes(self, index: int) -> np.ndarray:
        """Residue codes, uint8, shape (L,)."""
        return encode(self.sequence(index))

    def ss3(self, index: int) -> np.ndarray:
        """H, E, C as 0, 1, 2; -100 without a label; shape (L,)."""
        return self._labels("ss3", index, STATES)

    def ss8(self, index: int) -> np.ndarray:
        """DSSP's eight states in the order of `STATES8`; -100 without a label; shape (L,)."""
        return self._labels("ss8", index, STATES8)

    def counts(self, index: int) -> np.ndarray:
        """C of the whole alignment, int32, shape (L, 20)."""
        return _values(self.table["counts"], index).reshape(-1, N_AA)

    def n_rows(self, index: int) -> int:
        return self.table["n_rows"][index].as_py()

    def msa(self, index: int) -> np.ndarray:
        """Stored rows of the alignment, uint8, shape (N, L)."""
        raw = self.table["msa"][index].as_buffer()
        return np.frombuffer(raw, dtype=np.uint8).reshape(self.table["msa_rows"][index].as_py(), -1)

    def prob_map(self, index: int) -> np.ndarray:
        """P(residue | all others) of the language model, float32, shape (L, 20)."""
        return _values(self._maps["prob_map"], index).reshape(-1, N_AA)

    def lm_hidden(self, index: int) -> np.ndarray:
        """Last hidden state of the language model, float32, shape (L, C)."""
        column = self._maps["lm_hidden"]
        if not column[index].is_valid:
            raise ValueError(f"{self.ids[index]}: its map was made without the language model's hidden state")
        flat = _values(column, index)
        return flat.reshape(self.lengths[index], -1).astype(np.float32)

    @property
    def _maps(self) -> pa.Table:
        if self.maps is None:
            raise ValueError("this dataset has no probability maps; compute them first or train without them")
        return self.maps

    def _labels(self, column: str, index: int, states: str) -> np.ndarray:
        text = self.table[column][index].as_py()
        return np.full(self.lengths[index], IGNORE, dtype=np.int8) if text is None else encode_states(text, states)


def _values(column: pa.ChunkedArray, index: int) -> np.ndarray:
    """The list in one row of a column, without copying."""
    return column[index].values.to_numpy(zero_copy_only=False)


def parquet_files(folder: str | Path) -> list[Location]:
    """The parts of a Parquet table, sorted by name; a file is its own only part."""
    place = Location(folder)
    files = [place] if place.is_file() else place.files("*.parquet")
    if not files:
        raise ValueError(f"{folder}: no .parquet file in it")
    return files


def read_table(folder: str | Path, schema: pa.Schema) -> pa.Table:
    """Read the columns of `schema` in a Parquet table (a file or a folder of parts), check them, and sort it by id."""
    files = parquet_files(folder)
    table = pa.concat_tables([read_parquet(file, schema.names) for file in files], promote_options="permissive")
    schemas.check(table, schema, str(folder))
    return table.sort_by("id").combine_chunks()


def with_unlabelled(table: pa.Table, others: pa.Table) -> pa.Table:
    """The proteins of `table`, and the deep ones of `others` as training proteins without labels; sorted by id.

    Left out of `others`: shallow ones, which a teacher knows no better than a student, and those whose id or sequence
    `table` has, in whichever split.

    Raises ValueError if nothing is left of them.
    """
    known = set(table["id"].to_pylist()), set(table["sequence"].to_pylist())
    rows = zip(*(others[name].to_pylist() for name in ("id", "sequence", "msa_count")), strict=True)
    new = [id not in known[0] and sequence not in known[1] for id, sequence, _ in rows]
    deep = others["msa_count"].to_numpy() > LOW_QUALITY
    used = others.filter(pa.array(np.array(new, bool) & deep))
    if not used.num_rows:
        raise ValueError(
            f"none of the {len(new)} unlabelled proteins is of use: {deep.sum()} have more than {LOW_QUALITY} "
            f"homologs, and {new.count(False)} of all are in the labelled dataset"
        )
    for name, value in {"split": "train", "ss3": None, "ss8": None}.items():
        if name in used.column_names:
            place = used.schema.get_field_index(name)
            used = used.set_column(place, used.schema.field(place), pa.array([value] * used.num_rows, pa.string()))
    return pa.concat_tables([table, used.select(table.column_names)]).sort_by("id").combine_chunks()


def joined(table: pa.Table, maps: pa.Table | None) -> Proteins:
    """Put maps beside the proteins they belong to; both must hold the same proteins in the same order."""
    for name in ("id", "sequence"):
        if maps is not None and maps[name] != table[name]:
            differ = sorted(set(table[name].to_pylist()) ^ set(maps[name].to_pylist())) or ["only the order differs"]
            raise ValueError(
                f"the probability maps are of other proteins: {table.num_rows} proteins, {maps.num_rows} maps, "
                f"column {name!r} differs, first: {differ[0]}"
            )
    return Proteins(table, maps)
