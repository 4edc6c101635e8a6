"""Children of a fork work, whatever the threads of their parent held at that moment."""

from __future__ import annotations

import os

import pytest

from tests.processes import run_python
from tests.servers import RedisServer

CHILDREN = os.environ.get("FORKED_CHILDREN", "4")


@pytest.mark.parametrize("kind", ["url", "client", "blocking", "memory"])
def test_children_of_a_busy_parent_work(redis_server: RedisServer, kind: str) -> None:
    ended = run_python("-m", "tests.integration.forked", redis_server.url, kind, CHILDREN)
    assert ended.stdout.split() == ["0"] * int(CHILDREN), ended.stderr
