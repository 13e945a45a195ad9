import pyarrow as pa
import pytest

from protray.data import schemas
from protray.seq.alphabet import AMINO_ACIDS


@pytest.mark.parametrize("name", ["PROTEINS", "MAPS", "MAPS_FLOAT16", "PREDICTIONS"])
def test_residue_order_is_in_the_metadata(name) -> None:
    assert getattr(schemas, name).metadata[b"residue_order"] == AMINO_ACIDS.encode()


@pytest.mark.parametrize("name", ["PROTEINS", "MAPS", "PREDICTIONS", "REJECTED"])
def test_types_are_plain_arrow(name) -> None:
    """No extension types: every table is readable without Ray."""
    for field in getattr(schemas, name):
        ragged = pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
        inner = field.type.value_type if ragged else field.type
        assert not isinstance(inner, pa.BaseExtensionType)
        assert pa.types.is_primitive(inner) or pa.types.is_string(inner) or pa.types.is_large_binary(inner)


def test_slots_of_side_chains_are_in_the_metadata() -> None:
    sides = (schemas.STRUCTURES.metadata or {})[b"side_chains"].decode()
    assert sides.startswith("A CB, R CB CG CD NE CZ NH1 NH2, N CB CG OD1 ND2,") and ", G, H CB CG ND1" in sides


def test_check_accepts_more_columns_and_refuses_fewer() -> None:
    table = pa.Table.from_pylist([{"id": "p", "file": "f", "line": 3, "reason": "r"}], schema=schemas.REJECTED)
    schemas.check(table.append_column("more", pa.array([1])), schemas.REJECTED, "here")
    with pytest.raises(ValueError, match=r"here: column 'line' is missing; it has \['id', 'file', 'reason'\]"):
        schemas.check(table.drop_columns("line"), schemas.REJECTED, "here")
