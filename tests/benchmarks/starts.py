"""A program from its start to its first append: processor time, and modules.

All start with compiled modules, as installed programs do, whatever this one was told of
bytecode: else the contender that nobody has compiled would be compiled at every start.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Iterator

from tests.benchmarks.bench import Bench, say_who
from tests.benchmarks.contenders import COMMUNITY, has_community
from tests.benchmarks.report import Goal, Row
from tests.processes import run_python

OURS = "from langchain_redis_session import RedisSessionChatMessageHistory as History"
THEIRS = "from langchain_community.chat_message_histories import RedisChatMessageHistory as History"
_PROGRAM = """
import json, resource, sys, time
{import_it}
from langchain_core.messages import HumanMessage
History({session!r}, {url!r}, ttl=3600).add_messages([HumanMessage("Hello")])
used = resource.getrusage(resource.RUSAGE_SELF)
cpu_us = (used.ru_utime + used.ru_stime) * 1e6
print(json.dumps([cpu_us, len(sys.modules)]))
"""


def start_rows(bench: Bench) -> Iterator[Row]:
    """From nothing to the first append, in turns with langchain-community."""
    programs = {"ours": OURS} | ({"theirs": THEIRS} if has_community() else {})
    figures: dict[str, list[list[float]]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as compiled:
        if bench.plan.starts > 1:
            for program in programs.values():
                _start(bench, program, compiled)  # which compiles all that it imports
        for _ in range(bench.plan.starts):
            for name, program in programs.items():
                figures[name].append(_start(bench, program, compiled))
    medians = {
        name: [statistics.median(column) for column in zip(*starts, strict=True)]
        for name, starts in figures.items()
    }
    theirs = medians.get("theirs", [None, None])
    name = say_who(COMMUNITY, theirs[0])
    for place, (what, unit, goal) in enumerate(
        (
            ("from the start to the first append, processor time", "µs", Goal("at most", 1)),
            ("modules loaded then", "", None),
        )
    ):
        yield Row(what, unit, medians["ours"][place], theirs[place], name, goal)


def _start(bench: Bench, import_it: str, compiled: str) -> list[float]:
    program = _PROGRAM.format(import_it=import_it, session="start", url=bench.server.url)
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = run_python("-W", "ignore", "-c", program, env=environment)
    assert done.returncode == 0, done.stderr
    figures: list[float] = json.loads(done.stdout)
    return figures
