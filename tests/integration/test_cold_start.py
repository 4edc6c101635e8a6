"""What a first append loads, and that nothing is imported while an event loop waits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.processes import run_python
from tests.servers import RedisServer

PACKAGE = "langchain_redis_session"
NOT_NEEDED = {
    "jinja2",
    "langsmith",
    "sqlite3",
    "yaml",
    "langchain_core.callbacks.manager",
    "langchain_core.chat_history",
    "langchain_core.documents",
    "langchain_core.language_models",
    "langchain_core.messages.utils",
    "langchain_core.output_parsers",
    "langchain_core.outputs",
    "langchain_core.prompt_values",
    "langchain_core.prompts",
    "langchain_core.runnables",
    "langchain_core.tracers",
    f"{PACKAGE}._background.engine",
    f"{PACKAGE}._background.spool",
    f"{PACKAGE}._background.summary_workers",
    f"{PACKAGE}._background.write_behind",
    f"{PACKAGE}._connections.cluster",
    f"{PACKAGE}._connections.memory",
    f"{PACKAGE}._connections.sentinel",
    f"{PACKAGE}._display.code",
    f"{PACKAGE}._display.markdown",
    f"{PACKAGE}._display.markup",
    f"{PACKAGE}._display.media",
    f"{PACKAGE}._display.messages",
    f"{PACKAGE}._display.pages",
    f"{PACKAGE}._display.run_text",
    f"{PACKAGE}._display.shown",
    f"{PACKAGE}._display.styles",
    f"{PACKAGE}._display.tables",
    f"{PACKAGE}._display.texts",
    f"{PACKAGE}._display.timeline",
    f"{PACKAGE}._display.transcript",
    f"{PACKAGE}._display.wording",
    f"{PACKAGE}._observe.tracing",
    f"{PACKAGE}._runs",
    f"{PACKAGE}._summarizer",
    f"{PACKAGE}.adapters",
    f"{PACKAGE}.runs",
    f"{PACKAGE}.summarizer",
}
APPEND = """
import json, sys
from langchain_core.messages import AIMessage, HumanMessage
from langchain_redis_session import RedisSessionService, SessionKey

key = SessionKey("shop", "ann", "s1")
with RedisSessionService(sys.argv[1], **json.loads(sys.argv[2])) as service:
    service.append_messages(key, [HumanMessage("hi"), AIMessage("hello")], create=True)
    print(json.dumps(sorted(sys.modules)))
"""
OF_HISTORIES = {f"{PACKAGE}.adapters", f"{PACKAGE}._summarizer"}
"""The latter for its counter of tokens alone."""
ADD = """
import json, sys
import langchain_core.chat_history
of_their_base = {*sys.modules}
from langchain_core.messages import AIMessage, HumanMessage
from langchain_redis_session import RedisSessionChatMessageHistory

history = RedisSessionChatMessageHistory("s1", sys.argv[1], ttl=60)
history.add_messages([HumanMessage("hi"), AIMessage("hello")])
assert len(history.messages) == 2
print(json.dumps(sorted({*sys.modules} - of_their_base)))
"""
AAPPEND = """
import asyncio, json, sys
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_redis_session import RedisSessionService, SessionCallbackHandler, SessionKey
from tests.contract.blocking import detect_blocking, install_detector

class Told(AsyncCallbackHandler):
    async def on_custom_event(self, name, data, **options):
        print(name)

class Changed(SessionCallbackHandler):
    def on_append_event_start(self, context):
        print(context.event.message.content)

async def append(service):
    key = SessionKey("shop", "ann", "s1")
    said = ["hi", ("ai", "hello"), AIMessageChunk("bye")]
    with detect_blocking() as found:
        await service.aappend_messages(key, said, callbacks=[Told(), Changed()], create=True)
    assert not found, found[0]

for name in [n for n in sys.modules if n.startswith("langchain_core.messages.utils")]:
    sys.exit(f"{name} is loaded already")
service = RedisSessionService(sys.argv[1])
install_detector()
asyncio.run(append(service))
"""


def list_loaded(program: str, url: str, options: dict[str, Any]) -> set[str]:
    done = run_python("-c", program, url, json.dumps(options))
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("options", [{}, {"session_ttl": 60}], ids=["plain", "ttl"])
def test_a_first_append_loads_only_what_it_needs(
    redis_server: RedisServer, options: dict[str, Any]
) -> None:
    loaded = list_loaded(APPEND, redis_server.url, options)
    assert f"{PACKAGE}._operations.append" in loaded
    assert not NOT_NEEDED & loaded


def test_a_history_loads_only_what_it_needs(redis_server: RedisServer) -> None:
    loaded = list_loaded(ADD, redis_server.url, {})
    assert loaded >= OF_HISTORIES
    assert not (NOT_NEEDED - OF_HISTORIES) & loaded


def test_what_is_not_needed_exists(redis_server: RedisServer) -> None:
    """A module that was renamed would never be found again."""
    done = run_python(
        "-c",
        "import sys, importlib; [importlib.import_module(m) for m in sys.argv]".replace(
            "sys.argv", "sys.argv[1:]"
        ),
        *sorted(NOT_NEEDED - {"jinja2", "yaml"}),
    )
    assert done.returncode == 0, done.stderr


def test_what_one_append_alone_needs_is_not_imported_in_the_loop(
    redis_server: RedisServer,
) -> None:
    """Strings in place of messages, chunks, handlers of one call."""
    done = run_python("-c", AAPPEND, redis_server.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["hi", "hello", "bye", "redis_session.append_event"]
