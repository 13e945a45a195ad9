"""The Gene Ontology from an OBO file: namespaces, names, and ancestors over is_a and part_of.

Only these tags are read: id, name, namespace, alt_id, is_a, relationship: part_of, is_obsolete.  The file is
``go-basic.obo`` of https://geneontology.org/docs/download-ontology (CC BY 4.0), or any other in OBO 1.2 or 1.4.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from protray.data.location import Location
from protray.seq.errors import InputError, first_of

NAMESPACES = {"biological_process": "BP", "molecular_function": "MF", "cellular_component": "CC"}


@dataclass(frozen=True)
class Term:
    """One term that is not obsolete."""

    id: str
    name: str
    namespace: str  # BP, MF or CC
    parents: tuple[str, ...]  # over is_a and part_of


@dataclass(frozen=True)
class Ontology:
    """Terms by id, and other ids that mean one of them."""

    terms: dict[str, Term]
    alternatives: dict[str, str]

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """Of each term: itself and all terms above it in its namespace, without the namespace's root."""
        found: dict[str, frozenset[str]] = {}
        for start in self.terms:
            path = [start]
            while path:
                term = self.terms[path[-1]]
                parents = self._parents(term)
                missing = [parent for parent in parents if parent not in found]
                if missing and missing[0] in path:
                    raise ValueError(f"the ontology has a circle: {' -> '.join([*path, missing[0]])}")
                if missing and term.id not in found:
                    path.append(missing[0])
                    continue
                own = frozenset([term.id]) if parents else frozenset()  # a root is true of every protein
                found[term.id] = own.union(*(found[parent] for parent in parents))
                path.pop()
        return found

    def propagated(self, labels: Iterable[str], namespace: str) -> tuple[set[str], set[str]]:
        """Terms of a namespace that follow from a protein's; and the labels that are no term (any more)."""
        known = {self.alternatives.get(label, label) for label in labels}
        unknown = known - self.terms.keys()
        mine = [term for term in known - unknown if self.terms[term].namespace == namespace]
        return set().union(*(self.ancestors[term] for term in mine)), unknown

    def _parents(self, term: Term) -> list[str]:
        """Within the namespace: part_of may lead from a function to a process."""
        return [parent for parent in term.parents if self._namespace(parent) == term.namespace]

    def _namespace(self, id: str) -> str | None:
        term = self.terms.get(id)
        return term.namespace if term else None


def read_obo(path: Location) -> Ontology:
    """Read an OBO file; raises InputError if it holds no term of the Gene Ontology, or is cut off."""
    terms: dict[str, Term] = {}
    alternatives: dict[str, str] = {}
    for stanza in _stanzas(path):
        tags: dict[str, list[str]] = {}
        for tag, value in stanza:
            tags.setdefault(tag, []).append(value)
        namespace = NAMESPACES.get(tags.get("namespace", [""])[0])
        if tags.get("is_obsolete") == ["true"] or "id" not in tags or namespace is None:
            continue
        id = tags["id"][0]
        relations = [value.split() for value in tags.get("relationship", [])]
        parents = [value.split()[0] for value in tags.get("is_a", [])]
        parents += [words[1] for words in relations if words[0] == "part_of" and len(words) > 1]
        terms[id] = Term(id, tags.get("name", [id])[0], namespace, tuple(parents))
        alternatives |= dict.fromkeys(tags.get("alt_id", []), id)
    if not terms:
        raise InputError(path, None, "no [Term] of biological_process, molecular_function or cellular_component in it; "
                         "give go-basic.obo of geneontology.org")  # fmt: skip
    if lost := sorted({parent for term in terms.values() for parent in term.parents} - terms.keys()):
        raise InputError(path, None, f"terms name parents that are not in the file: {first_of(lost)}; is it cut off?")
    return Ontology(terms, alternatives)


def _stanzas(path: Location) -> Iterable[list[tuple[str, str]]]:
    """The tags of each [Term], without comments."""
    found: list[tuple[str, str]] | None = None
    for line in path.read_bytes().decode(errors="replace").splitlines():
        line = line.strip()
        if line.startswith("["):
            if found is not None:
                yield found
            found = [] if line == "[Term]" else None
        elif found is not None and ": " in line:
            tag, _, value = line.partition(": ")
            found.append((tag, value.partition(" ! ")[0].strip()))
    if found is not None:
        yield found
