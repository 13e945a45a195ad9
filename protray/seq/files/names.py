"""Ids of proteins as names of files, and back."""

from urllib.parse import quote, unquote


def quoted(id: str) -> str:
    """An id as part of a file's name: all but ASCII letters, digits and ``._+=@~-`` as in addresses.

    So is a dot or a dash in front: no name leaves its folder, is hidden, or an option.

    >>> quoted("sp|P00698|LYSC"), quoted("../a")
    ('sp%7CP00698%7CLYSC', '%2E.%2Fa')
    """
    name = quote(id, safe="+=@")
    return f"%{ord(name[0]):X}{name[1:]}" if name[:1] in (".", "-") else name


def unquoted(name: str) -> str:
    """The id that `quoted` made a name of; any other name as it is.

    >>> unquoted("sp%7CP00698"), unquoted("50%AB"), unquoted("a%20b c")
    ('sp|P00698', '50%AB', 'a%20b c')
    """
    id = unquote(name)
    return id if id.isprintable() and quoted(id) == name else name
