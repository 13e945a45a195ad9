"""Ids as names of files, and names of files that are nobody's."""

import pytest

from protray.seq.files.names import quoted, unquoted


@pytest.mark.parametrize("id", ["sp|P1|X", "a b", "%", "%7C", "größe", "../x", ".a", "-rf", "a~b+c=d@e"])
def test_there_and_back(id) -> None:
    name = quoted(id)
    assert unquoted(name) == id
    assert name.isascii() and not set(name) & set("/\\ |") and name[0] not in ".-"


@pytest.mark.parametrize("name", ["50%AB", "a%0Ab", "%2e%2e%2fetc", "100%_x", "1ABC_A", "a b", "%41"])
def test_names_that_were_not_made_so_stay(name) -> None:
    assert unquoted(name) == name
