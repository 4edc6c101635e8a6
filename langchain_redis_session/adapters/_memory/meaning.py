"""Search by meaning: vectors of texts, how they are stored, and how near they are."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Sequence
from typing import Any

from langchain_core.embeddings import Embeddings

from langchain_redis_session._flow.requests import Call, Flow
from langchain_redis_session.errors import ConfigurationError, shorten

try:
    import numpy
except ImportError:  # slower without
    numpy = None  # type: ignore[assignment]

Vector = Sequence[float]
_HEADER = struct.Struct("<I")
_LARGEST = 2.0**127
_ROWS = 2000
"""How many vectors numpy compares at once, so that they take little memory in its numbers."""


class Embedder:
    """Makes vectors of texts.

    Args:
        model: What does it.
        dims: How many numbers a vector has.
    """

    def __init__(self, model: Embeddings, dims: int) -> None:
        self.dims = dims
        self._model = model

    def embed(
        self, texts: Sequence[str], queries: Sequence[str]
    ) -> Flow[tuple[dict[str, Vector], dict[str, Vector]]]:
        """Embed texts to be found, and queries; nothing is called for none.

        Raises:
            ConfigurationError: The model gives other vectors than it should.
        """
        if not texts and not queries:
            return {}, {}
        model = self._model

        def call() -> tuple[Any, list[Any]]:
            found = model.embed_documents(list(texts)) if texts else []
            return found, [model.embed_query(query) for query in queries]

        async def acall() -> tuple[Any, list[Any]]:
            found = await model.aembed_documents(list(texts)) if texts else []
            return found, await asyncio.gather(*map(model.aembed_query, queries))

        of_texts, of_queries = yield Call(call, acall)
        if len(of_texts) != len(texts):
            raise ConfigurationError(
                f"index: the embeddings gave {len(of_texts)} vectors for {len(texts)} texts"
            )
        for vector in (*of_texts, *of_queries):
            self._check(vector)
        return dict(zip(texts, of_texts, strict=True)), dict(zip(queries, of_queries, strict=True))

    def _check(self, vector: Vector) -> None:
        if len(vector) != self.dims:
            raise ConfigurationError(
                f"index: a vector has {len(vector)} numbers, and dims is {self.dims}; set dims to "
                "what the embeddings give"
            )
        if not all(abs(number) < _LARGEST for number in vector):
            raise ConfigurationError(
                f"index: a vector holds what is no 32-bit float: {shorten(list(vector))}"
            )


def pack_vectors(vectors: Sequence[Vector], dims: int) -> bytes:
    """Write the vectors of an item: how many numbers each has, then all as 32-bit floats.

    >>> len(pack_vectors([[1, 0], [0, 1]], 2)), pack_vectors([], 2)
    (20, b'')
    """
    if not vectors:
        return b""
    numbers = [float(number) for vector in vectors for number in vector]
    return _HEADER.pack(dims) + struct.pack(f"<{len(numbers)}f", *numbers)


def compare(query: Vector, stored: Sequence[bytes]) -> list[float | None]:
    """How near each item is to a query: the cosine of its nearest vector.

    None for an item without vectors, or with those of other dimensions.

    >>> compare([1, 0], [pack_vectors([[0, 1], [2, 0]], 2), b"", pack_vectors([[1, 0, 0]], 3)])
    [1.0, None, None]
    """
    dims = len(query)
    places = [place for place, data in enumerate(stored) if _is_usable(data, dims)]
    scores: list[float | None] = [None] * len(stored)
    step = _compare_in_python if numpy is None else _compare_with_numpy
    for start in range(0, len(places), _ROWS):
        some = places[start : start + _ROWS]
        near = step(query, [stored[place][_HEADER.size :] for place in some])
        for place, score in zip(some, near, strict=True):
            scores[place] = score
    return scores


def _is_usable(data: bytes, dims: int) -> bool:
    return (
        len(data) > _HEADER.size
        and _HEADER.unpack_from(data)[0] == dims
        and (len(data) - _HEADER.size) % (4 * dims) == 0
    )


def _compare_with_numpy(query: Vector, stored: Sequence[bytes]) -> list[float]:
    dims = len(query)
    wanted = numpy.array(query, dtype=numpy.float64)
    rows = numpy.frombuffer(b"".join(stored), "<f4").reshape(-1, dims).astype(numpy.float64)
    lengths = numpy.linalg.norm(rows, axis=1) * numpy.linalg.norm(wanted)
    cosines = numpy.divide(rows @ wanted, lengths, numpy.zeros(len(rows)), where=lengths != 0)
    starts = numpy.cumsum([0, *(len(data) // (4 * dims) for data in stored[:-1])])
    return [float(score) for score in numpy.maximum.reduceat(cosines, starts)]


def _compare_in_python(query: Vector, stored: Sequence[bytes]) -> list[float]:
    row = struct.Struct(f"<{len(query)}f")
    length = math.sqrt(sum(number * number for number in query))

    def cosine(vector: tuple[float, ...]) -> float:
        lengths = math.sqrt(sum(number * number for number in vector)) * length
        product = sum(map(float.__mul__, vector, map(float, query)))
        return product / lengths if lengths else 0.0

    return [max(map(cosine, row.iter_unpack(data))) for data in stored]
