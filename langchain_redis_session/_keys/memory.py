"""The keys of a memory store: a hash of items for each namespace, and an index of these.

A namespace is written as its labels, escaped, each with a colon behind it: so those that begin
with certain labels are those that begin with certain bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

_ESCAPES = str.maketrans({"%": "%25", ":": "%3A", "{": "%7B", "}": "%7D"})

Namespace = tuple[str, ...]


def encode_namespace(labels: Sequence[str]) -> bytes:
    """Write a namespace.

    >>> encode_namespace(("memories", "ann:1")), encode_namespace(())
    (b'memories:ann%3A1:', b'')
    """
    text = "".join(f"{label.translate(_ESCAPES)}:" for label in labels)
    return text.encode("utf-8", "surrogatepass")


def decode_namespace(data: bytes) -> Namespace:
    """Undo `encode_namespace`.

    Raises:
        ValueError: It writes no namespace.

    >>> decode_namespace(b"memories:ann%3A1:")
    ('memories', 'ann:1')
    """
    labels = data.decode("utf-8", "surrogatepass").split(":")[:-1]
    namespace = tuple(unquote(label) for label in labels)
    if encode_namespace(namespace) != data:
        raise ValueError("this is no namespace")
    return namespace


@dataclass(slots=True, eq=False)
class NamespaceKeys:
    """The keys of one namespace.

    Attributes:
        items: The hash of its items.
        vectors: That of their vectors.
        index: The sorted set of all namespaces of its owner.
        namespace: What stands for it there.
    """

    items: bytes
    vectors: bytes
    index: bytes
    namespace: bytes

    @property
    def common(self) -> list[bytes]:
        """Those that a script which writes to a namespace takes."""
        return [self.items, self.vectors, self.index]


@dataclass(frozen=True, slots=True)
class MemoryKeys:
    """The keys of what one user, or one app, remembers.

    Attributes:
        index: The sorted set of its namespaces.
        items_prefix: What the hashes of items begin with.
        vectors_prefix: Likewise those of vectors.
    """

    index: bytes
    items_prefix: bytes
    vectors_prefix: bytes

    def namespace(self, encoded: bytes) -> NamespaceKeys:
        """The keys of one namespace, written as in the index."""
        items, vectors = self.items_prefix + encoded, self.vectors_prefix + encoded
        return NamespaceKeys(items, vectors, self.index, encoded)
