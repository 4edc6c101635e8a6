"""Marks that narrow a test down, where the whole matrix would tell nothing more.

Most tests run over all of `VARIANTS`. What depends on the server but not on how a client is
made runs once on each; what depends on neither, on one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.contract.backends import VARIANTS, Variant


def _mark(variants: Iterable[Variant]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("variant", list(variants), indirect=True, ids=str)


def _one_of_each(name: Callable[[Variant], object]) -> list[Variant]:
    first: dict[object, Variant] = {}
    for variant in VARIANTS:
        first.setdefault(name(variant), variant)
    return list(first.values())


_SERVERS = _one_of_each(lambda variant: (variant.server, variant.hash_tag))

each_server = _mark(_SERVERS)
"""Once on each server: fakeredis, standalone, both clusters, with TTLs per field."""

field_ttl_on_and_off = pytest.mark.parametrize(
    ("variant", "per_field_ttl"),
    [(v, None) for v in _SERVERS]
    + [(v, False) for v in _SERVERS if v.server in ("", "field_ttl_redis_server")],
    indirect=["variant"],
    ids=str,
)
"""Each server, and those that have TTLs per field without them too."""

one_server = _mark(v for v in _SERVERS if v.server == "redis_server")
"""The standalone server only."""

server_kinds = _mark(
    v for v in _SERVERS if v.hash_tag == "app" and v.server in ("", "redis_server", "redis_cluster")
)
"""Once on fakeredis, the standalone server and a cluster: for what the server hardly touches."""

one_mode = pytest.mark.parametrize("mode", ["async"], indirect=True)
"""The async verbs only; the flows are the same."""
