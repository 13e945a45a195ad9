"""A small ontology: ancestors over is_a and part_of in a namespace, other ids, and files that are none."""

import pytest

from protray.data.location import Location
from protray.data.tasks.obo import read_obo
from protray.seq.errors import InputError

OBO = """format-version: 1.2

[Term]
id: GO:1
name: molecular_function
namespace: molecular_function

[Term]
id: GO:2
name: binding
namespace: molecular_function
is_a: GO:1 ! molecular_function

[Term]
id: GO:3
name: ATP binding
namespace: molecular_function
alt_id: GO:30
is_a: GO:2 {source="x"} ! binding
relationship: part_of GO:5 ! a process

[Term]
id: GO:4
name: a part
namespace: molecular_function
relationship: part_of GO:3
relationship: regulates GO:2

[Term]
id: GO:5
name: a process
namespace: biological_process

[Term]
id: GO:6
name: old
namespace: molecular_function
is_obsolete: true

[Typedef]
id: part_of
namespace: external
"""


@pytest.fixture
def file(tmp_path) -> Location:
    (tmp_path / "go.obo").write_text(OBO)
    return Location(tmp_path / "go.obo")


def test_ancestors_stay_in_the_namespace_and_leave_the_root_out(file) -> None:
    ontology = read_obo(file)
    assert sorted(ontology.terms) == ["GO:1", "GO:2", "GO:3", "GO:4", "GO:5"]
    assert ontology.ancestors["GO:4"] == {"GO:4", "GO:3", "GO:2"}  # regulates is no part_of
    assert ontology.ancestors["GO:1"] == frozenset() == ontology.ancestors["GO:5"]
    assert ontology.terms["GO:3"].name == "ATP binding" and ontology.terms["GO:5"].namespace == "BP"


def test_a_protein_has_all_that_follows(file) -> None:
    """An alternative id means its term; an obsolete one nothing, and it is told."""
    assert read_obo(file).propagated(["GO:30", "GO:5", "GO:6"], "MF") == ({"GO:3", "GO:2"}, {"GO:6"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [("id,labels\n", "no .Term."), (OBO.replace("id: GO:5", "id: GO:50"), "parents that are not in the file: GO:5")],
)
def test_other_files_are_refused(tmp_path, text, reason) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(InputError, match=reason):
        read_obo(Location(tmp_path / "x"))


def test_a_circle_is_named(tmp_path) -> None:
    (tmp_path / "x").write_text(OBO.replace("id: GO:2\n", "id: GO:2\nis_a: GO:4\n"))
    with pytest.raises(ValueError, match="a circle: GO:"):
        _ = read_obo(Location(tmp_path / "x")).ancestors
