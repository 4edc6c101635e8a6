"""`RedisSessionChatMessageHistory` itself: what it costs, what it keeps, what it refuses."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import redis.asyncio
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    ToolCall,
    ToolMessage,
)

from langchain_redis_session import (
    BackendUnavailableError,
    ConfigurationError,
    InvalidSessionKeyError,
    RedisSessionChatMessageHistory,
    RedisSessionService,
    UnserializableMessageError,
)
from tests.integration.conftest import MakeHistory
from tests.methods import HISTORY_METHODS
from tests.processes import run_python
from tests.servers import RedisServer, free_port
from tests.waits import MOMENT_S


def texts(messages: list[BaseMessage]) -> list[str]:
    return [message.text for message in messages]


def call(number: int) -> ToolCall:
    return ToolCall(name="look", args={"page": number}, id=f"c{number}", type="tool_call")


@pytest.fixture
def server(make_redis_server: Callable[..., RedisServer]) -> RedisServer:
    return make_redis_server()


@contextmanager
def commands_seen_by(server: RedisServer) -> Iterator[list[str]]:
    """Collect the commands that clients send; what a script calls is not among them."""
    seen: list[str] = []
    with server.client() as client, server.client() as marker, client.monitor() as monitor:
        marker.echo("the start")
        for command in monitor.listen():
            if command["command"] == "ECHO the start":
                break
        yield seen
        marker.echo("the end")
        for command in monitor.listen():
            if command["client_type"] == "lua":
                continue
            if command["command"] == "ECHO the end":
                break
            seen.append(command["command"].split(" ")[0])


def connections_to(server: RedisServer) -> int:
    with server.client() as client:
        return len(client.client_list()) - 1


# What it costs.


def test_making_one_connects_to_nothing(server: RedisServer) -> None:
    with server.client() as client:
        before = client.info("stats")["total_connections_received"]
        threads = threading.active_count()
        for number in range(100):
            RedisSessionChatMessageHistory(f"s{number}", server.url, ttl=60)
        assert client.info("stats")["total_connections_received"] == before
        assert threading.active_count() == threads


def test_those_made_alike_share_a_connection(server: RedisServer) -> None:
    histories = [
        RedisSessionChatMessageHistory(f"s{number}", server.url, "p", 60, socket_timeout=3)
        for number in range(200)
    ]
    for history in histories:
        history.add_user_message(history.session_id)
    assert len({id(history.service) for history in histories}) == 1
    assert connections_to(server) == 1
    assert texts(histories[150].messages) == ["s150"]
    histories[0].service.close()


async def test_those_made_alike_share_an_async_connection(server: RedisServer) -> None:
    histories = [RedisSessionChatMessageHistory(f"s{n}", server.url, "p") for n in range(200)]
    for history in histories:
        await history.aadd_messages([HumanMessage(history.session_id)])
    assert connections_to(server) == 1
    await histories[0].service.aclose()


@pytest.mark.parametrize(
    "other",
    [
        {"ttl": 61},
        {"key_prefix": "q"},
        {"session_event_limit": 5},
        {"socket_timeout": 4},
        {"decode_responses": True},
        {"redis_url": "memory://other"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_options_are_another_service(other: dict[str, Any]) -> None:
    options: dict[str, Any] = {"redis_url": "memory://one", "key_prefix": "p", "ttl": 60}
    first = RedisSessionChatMessageHistory("s", **options)
    assert RedisSessionChatMessageHistory("s", **options).service is first.service
    assert RedisSessionChatMessageHistory("s", **options | other).service is not first.service


def test_a_client_of_ones_own_is_shared_too(server: RedisServer) -> None:
    with server.client() as client, server.client() as other:
        first = RedisSessionChatMessageHistory("s1", redis_client=client)
        assert RedisSessionChatMessageHistory("s2", redis_client=client).service is first.service
        assert RedisSessionChatMessageHistory("s1", redis_client=other).service is not first.service


def test_a_client_per_request_is_let_go(server: RedisServer) -> None:
    for number in range(60):
        history = RedisSessionChatMessageHistory(f"s{number}", redis_client=server.client())
        history.add_user_message("hi")
    assert connections_to(server) < 30


def test_a_closed_service_is_not_shared(key_prefix: str) -> None:
    first = RedisSessionChatMessageHistory("s", "memory://closed", key_prefix)
    first.service.close()
    again = RedisSessionChatMessageHistory("s", "memory://closed", key_prefix)
    assert again.messages == []


def test_the_environment_is_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "memory://from-environment")
    first = RedisSessionChatMessageHistory("s")
    assert "from-environment" in repr(first)
    monkeypatch.setenv("REDIS_URL", "memory://elsewhere")
    assert "elsewhere" in repr(RedisSessionChatMessageHistory("s"))


@pytest.mark.parametrize("count", [1, 10, 1500])
@pytest.mark.parametrize("ttl", [None, 60])
def test_one_round_trip_however_many(server: RedisServer, count: int, ttl: int | None) -> None:
    history = RedisSessionChatMessageHistory("s", server.url, ttl=ttl)
    history.add_user_message("loads the script")
    history.messages  # noqa: B018
    with commands_seen_by(server) as seen:
        history.add_messages([HumanMessage(str(number)) for number in range(count)])
    assert seen == ["EVALSHA"]
    with commands_seen_by(server) as seen:
        assert len(history.messages) == count + 1
    assert seen == ["ZREVRANGE"]
    history.service.close()


async def test_one_round_trip_async(server: RedisServer) -> None:
    history = RedisSessionChatMessageHistory("s", server.url)
    await history.aadd_messages([HumanMessage("loads the script")])
    with commands_seen_by(server) as seen:
        await history.aadd_messages([HumanMessage(str(number)) for number in range(100)])
    assert seen == ["EVALSHA"]
    await history.service.aclose()


def test_nothing_to_add_asks_nothing(make_history: MakeHistory) -> None:
    history = make_history()
    history.add_messages([])
    assert history.messages == []


# Async.


@pytest.mark.parametrize("name", HISTORY_METHODS)
async def test_the_loop_runs_on_while_redis_hangs(server: RedisServer, name: str) -> None:
    history = RedisSessionChatMessageHistory("s", server.url)
    await history.aadd_messages([HumanMessage("one")])
    server.pause()
    task = asyncio.ensure_future(HISTORY_METHODS[name](history))
    await asyncio.sleep(MOMENT_S)
    assert not task.done()
    server.resume()
    await task
    await history.service.aclose()


async def test_async_makes_no_thread_and_no_blocking_connection(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a blocking connection")

    threads = threading.active_count()
    history = RedisSessionChatMessageHistory("s", server.url)
    with monkeypatch.context() as patch:
        patch.setattr(redis.connection.AbstractConnection, "connect", refuse)
        await history.aadd_messages([HumanMessage("one"), AIMessage("two")])
        assert texts(await history.aget_messages()) == ["one", "two"]
        await history.aclear()
        assert await history.aget_messages() == []
    assert threading.active_count() == threads
    assert connections_to(server) == 2  # the shared one, and one for reads without a limit
    await history.service.aclose()


def test_a_loop_per_call_leaves_no_connection(server: RedisServer) -> None:
    history = RedisSessionChatMessageHistory("s", server.url)
    for number in range(10):
        asyncio.run(history.aadd_messages([HumanMessage(str(number))]))
    assert connections_to(server) == 0
    assert len(history) == 10
    history.service.close()


# What it keeps.


def test_no_message_is_dropped(make_history: MakeHistory) -> None:
    history = make_history()
    for start in range(0, 1500, 500):
        history.add_messages([HumanMessage(str(number)) for number in range(start, start + 500)])
    assert texts(history.messages) == [str(number) for number in range(1500)]
    assert len(history) == 1500


def test_a_limit_when_asked_for(make_history: MakeHistory) -> None:
    history = make_history(session_event_limit=3)
    history.add_messages([HumanMessage(str(number)) for number in range(5)])
    assert texts(history.messages) == ["2", "3", "4"]


def test_a_chunk_is_stored_as_a_message(make_history: MakeHistory) -> None:
    history = make_history()
    chunk = AIMessageChunk(content="hel", id="r1") + AIMessageChunk(
        content="lo", chunk_position="last"
    )
    assert isinstance(chunk, AIMessageChunk)
    history.add_ai_message(chunk)
    (stored,) = history.messages
    assert type(stored) is AIMessage
    assert stored == AIMessage("hello", id="r1")


def test_users_and_apps_are_apart(make_history: MakeHistory) -> None:
    make_history("c", user_id="a:b").add_user_message("one")
    assert make_history("b:c", user_id="a").messages == []
    assert make_history("c", user_id="a:b", app_name="other").messages == []


def test_clear_leaves_the_state_and_the_others(make_history: MakeHistory) -> None:
    history, other = make_history("s1"), make_history("s2")
    history.add_user_message("one")
    other.add_user_message("two")
    history.service.update_session_state(history.session_key, {"lang": "en"})
    history.clear()
    assert history.messages == []
    assert texts(other.messages) == ["two"]
    session = history.service.get_session(history.session_key)
    assert session is not None
    assert session.state == {"lang": "en"}


async def test_an_async_clear_empties_the_history_and_may_be_repeated(
    make_history: MakeHistory,
) -> None:
    history = make_history()
    await history.aadd_messages([HumanMessage("one")])
    await history.aclear()
    assert await history.aget_messages() == []
    await history.aclear()


def test_a_service_of_ones_own(make_history: MakeHistory) -> None:
    with RedisSessionService("memory://own-service", session_event_limit=2) as service:
        history = RedisSessionChatMessageHistory("s", service=service)
        history.add_messages([HumanMessage(str(number)) for number in range(4)])
        assert texts(history.messages) == ["2", "3"]


def test_ttl_runs_from_the_last_write(redis_server: RedisServer, key_prefix: str) -> None:
    history = RedisSessionChatMessageHistory("s", redis_server.url, key_prefix, 100)
    history.add_user_message("one")
    with redis_server.client() as client:
        keys = list(client.scan_iter(f"{key_prefix}:*"))
        assert keys
        assert all(90 < client.ttl(key) <= 100 for key in keys)
        for key in keys:
            client.expire(key, 50)
        history.messages  # noqa: B018
        assert all(client.ttl(key) <= 50 for key in keys)
        history.add_user_message("two")
        assert all(90 < client.ttl(key) <= 100 for key in keys)
        client.unlink(*keys)
    history.service.close()


# What reading gives.


def test_max_messages_limits_what_is_read_and_not_what_is_kept(make_history: MakeHistory) -> None:
    make_history().add_messages([HumanMessage(str(number)) for number in range(10)])
    history = make_history(max_messages=4)
    assert texts(history.messages) == ["6", "7", "8", "9"]
    assert len(history) == 10  # limits what is read, not what is there


async def test_tool_results_keep_their_calls(make_history: MakeHistory) -> None:
    said: list[BaseMessage] = [
        HumanMessage("look"),
        AIMessage("", tool_calls=[call(1), call(2)]),
        ToolMessage("one", tool_call_id="c1"),
        ToolMessage("two", tool_call_id="c2"),
        AIMessage("done"),
    ]
    make_history().add_messages(said)
    short = [said[0], said[4]]
    for most, expected in ((5, said), (4, short), (3, short), (2, short)):
        for options in ({"max_messages": most}, {"max_tokens": most, "token_counter": len}):
            history = make_history(**options)
            assert history.messages == expected, options
            assert await history.aget_messages() == expected


def test_max_tokens_cuts_at_whole_turns_and_keeps_the_last(make_history: MakeHistory) -> None:
    def count_words(messages: list[BaseMessage]) -> int:
        return sum(len(message.text.split()) for message in messages)

    make_history().add_messages([HumanMessage("a b c"), AIMessage("d e"), HumanMessage("f")])

    def read(most: int) -> list[str]:
        return texts(make_history(max_tokens=most, token_counter=count_words).messages)

    assert read(6) == ["a b c", "d e", "f"]
    assert read(5) == read(3) == read(2) == read(1) == ["f"]
    assert texts(make_history(max_tokens=8).messages) == ["f"]  # counted approximately
    as_it_falls = make_history(max_tokens=3, token_counter=count_words, start_on=None)
    assert texts(as_it_falls.messages) == ["d e", "f"]


@pytest.mark.parametrize("name", ["max_messages", "max_tokens"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True])
def test_limits_that_make_no_sense(name: str, value: Any) -> None:
    options = {name: value}
    with pytest.raises(ConfigurationError, match=f"{name} must be a whole number from 1"):
        RedisSessionChatMessageHistory("s", "memory://", **options)


# What it refuses.


@pytest.mark.parametrize("bad", ["", None, 7, b"s", "x" * 513, "\ud800"])
@pytest.mark.parametrize("name", ["session_id", "user_id", "app_name"])
def test_ids_that_name_nothing(name: str, bad: Any) -> None:
    with pytest.raises(InvalidSessionKeyError, match=name):
        RedisSessionChatMessageHistory(**{"session_id": "s", "redis_url": "memory://", name: bad})
    with pytest.raises(ValueError, match=name):
        RedisSessionChatMessageHistory(**{"session_id": "s", "redis_url": "memory://", name: bad})


@pytest.mark.parametrize(
    "bad",
    [RemoveMessage(id="m1"), None],
    ids=["instruction", "none"],
)
async def test_a_batch_is_stored_or_not(make_history: MakeHistory, bad: Any) -> None:
    history = make_history()
    history.add_user_message("before")
    batch = [HumanMessage("one"), bad, HumanMessage("three")]
    with pytest.raises(UnserializableMessageError):
        history.add_messages(batch)
    with pytest.raises(UnserializableMessageError):
        await history.aadd_messages(batch)
    assert texts(history.messages) == ["before"]


async def test_without_a_server_the_error_says_so_and_no_password() -> None:
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    history = RedisSessionChatMessageHistory("s", url)
    with pytest.raises(BackendUnavailableError, match="check that the server runs") as error:
        history.add_user_message("hi")
    assert "secret" not in str(error.value) + repr(history)
    assert isinstance(error.value, ConnectionError)
    assert isinstance(error.value.__cause__, redis.ConnectionError)
    with pytest.raises(BackendUnavailableError):
        await history.aget_messages()


def test_nobody_answers_at_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr(
        "langchain_redis_session.connections.DEFAULT_URL", f"redis://localhost:{port}"
    )
    with pytest.raises(BackendUnavailableError, match="memory://"):
        RedisSessionChatMessageHistory("s", key_prefix="nobody").add_user_message("hi")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"redis_url": "redis://a", "url": "redis://b"}, "redis_url= and url="),
        ({"redis_url": "http://a"}, "must begin with one of"),
        ({"redis_url": "memory://", "sesion_event_limit": 5}, "mean 'session_event_limit'"),
        ({"redis_url": "redis://a", "sesion_event_limit": 5}, "mean 'session_event_limit'"),
        ({"redis_url": "memory://", "ttl": -1}, "^ttl=-1 can't work"),
        ({"redis_url": "memory://", "ttl": 5, "session_ttl": 6}, "ttl= and session_ttl="),
        ({"redis_url": "memory://", "key_prefix": "{a}"}, "key_prefix"),
        ({"redis_url": "memory://", "key_prefix": 5}, "key_prefix"),
        ({"redis_url": 5}, "must be a string"),
        ({"redis_client": object()}, "^redis_client= must be a sync client of redis-py"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        RedisSessionChatMessageHistory("s", **options)


def test_a_misspelt_option_beside_a_client(redis_server: RedisServer) -> None:
    with redis_server.client() as client, pytest.raises(ConfigurationError, match="sesion_ttl"):
        RedisSessionChatMessageHistory("s", redis_client=client, sesion_ttl=5)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "options", [{"redis_url": "redis://a"}, {"ttl": 5}, {"key_prefix": "p"}, {"socket_timeout": 1}]
)
def test_a_service_decides_itself(options: dict[str, Any]) -> None:
    with (
        RedisSessionService("memory://decides") as service,
        pytest.raises(ConfigurationError, match=f"service= decides about {next(iter(options))}"),
    ):
        RedisSessionChatMessageHistory("s", service=service, **options)


def test_an_async_client_alone(redis_server: RedisServer, key_prefix: str) -> None:
    async def body() -> None:
        async with redis_server.async_client() as client:
            history = RedisSessionChatMessageHistory(
                "s", key_prefix=key_prefix, async_client=client
            )
            await history.aadd_messages([HumanMessage("one")])
            assert texts(await history.aget_messages()) == ["one"]
            await history.aclear()
            await history.service.adelete_session(history.session_key)
            with pytest.raises(ConfigurationError, match="only an async client was given"):
                history.messages  # noqa: B018
            with pytest.raises(ConfigurationError, match="goes to async_client="):
                RedisSessionChatMessageHistory("s", redis_client=client)

    asyncio.run(body())


# langchain-core's history classes may go.

WITHOUT_BASE = """
import sys
from importlib.abc import MetaPathFinder

class Gone(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("langchain_core.chat_history", "langchain_core.runnables.history"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Gone())
"""

USE = """
import asyncio
from langchain_core.messages import AIMessage, HumanMessage
from langchain_redis_session import RedisSessionChatMessageHistory

history = RedisSessionChatMessageHistory("s", "memory://x", ttl=60)
history.add_user_message("one")
history.add_ai_message("two")
history.add_message(HumanMessage("three"))
asyncio.run(history.aadd_messages([AIMessage("four")]))
assert [m.content for m in asyncio.run(history.aget_messages())] == ["one", "two", "three", "four"]
assert str(history) == "Human: one\\nAI: two\\nHuman: three\\nAI: four"
assert len(history) == 4 and history.id == "s" and history
asyncio.run(history.aclear())
assert history.messages == []
print(type(history).__bases__[0].__module__)
"""


@pytest.mark.parametrize(
    ("before", "base"),
    [
        ("", "langchain_core.chat_history"),
        (WITHOUT_BASE, "langchain_redis_session.adapters.history"),
    ],
    ids=["with", "without"],
)
def test_with_and_without_the_base_class(before: str, base: str) -> None:
    """Importing and using it warns of nothing, whether the class is there or not."""
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONWARNINGS"}
    done = run_python("-W", "error", "-c", before + USE, env=environment)
    assert (done.stdout.strip(), done.stderr, done.returncode) == (base, "", 0)
