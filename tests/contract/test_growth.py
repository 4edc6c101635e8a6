"""What a call makes the server do as a user's sessions grow: counted, not timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import RedisSessionService, SessionKey
from tests.methods import KEY, METHODS, arguments_of
from tests.servers import RedisServer, ServerBinary

WALKS = ("list_sessions", "list_apps", "list_users", "delete_user")
"""Methods that are about all sessions, or users: they go in pages."""
BACKGROUND = ("ping", "enqueue_summary", "flush", "close", "retry_dead_letters")
OF_A_SESSION = [name for name in METHODS if name not in (*WALKS, *BACKGROUND)]
WHOLE_HASH = ("HGETALL", "HKEYS", "HVALS", "HRANDFIELD")
FEW, MANY = 2, 400


class Command(NamedTuple):
    """What the server ran: for a client, or inside a script."""

    name: str
    key: str
    is_inner: bool


class Shelf:
    """A service, and a user with so many sessions and summaries."""

    def __init__(self, server: RedisServer, prefix: str, sessions: int) -> None:
        self._server, self._prefix = server, prefix
        self.service = RedisSessionService(
            server.url, key_prefix=prefix, summarizer=lambda _: "short", auto_summarize=False
        )
        with server.client() as client:
            self._fill(client, sessions)

    def _fill(self, client: object, sessions: int) -> None:
        """Make a session, and copies of what it has in the hashes that a user's sessions share."""
        service = self.service
        first = SessionKey("shop", "ann", "first")
        messages = [HumanMessage("m"), AIMessage("n"), HumanMessage("o")]
        service.append_messages(first, messages, create=True, filter_key="a/b")
        service.create_summary(first, "a/b", force=True)
        for kind in ("sess", "sesssum"):
            key = f"{self._prefix}:{kind}:{{shop}}:ann"
            fields = client.hgetall(key).items()  # type: ignore[attr-defined]
            assert fields
            copies = {
                field.replace(b"first", b"copy%d" % number): value
                for field, value in fields
                for number in range(sessions)
            }
            client.hset(key, mapping=copies)  # type: ignore[attr-defined]

    def watch(self, name: str) -> list[Command]:
        """Call a method; give what the server ran."""
        method = getattr(self.service, name)
        return self._watch(lambda: method(*arguments_of(name, KEY), **METHODS[name]))

    def _watch(self, call: Callable[[], object]) -> list[Command]:
        found: list[Command] = []
        with self._server.client() as client, client.monitor() as monitor:
            call()
            with self._server.client() as observer:
                observer.echo("done")
            while True:
                seen = monitor.next_command()
                if seen["command"] == "ECHO done":
                    return found
                words = seen["command"].split(" ", 2)
                key = words[1].removeprefix(self._prefix + ":") if len(words) > 1 else ""
                # Redis names the source "lua", Valkey "script" (which has no port).
                is_inner = seen["client_type"] == "lua" or not seen["client_port"]
                found.append(Command(words[0].upper(), key, is_inner))


@pytest.fixture(scope="module")
def shelves(redis_binary: ServerBinary) -> Iterator[tuple[Shelf, Shelf]]:
    with RedisServer(redis_binary) as server:
        warm, few, many = (Shelf(server, f"p{n}", n) for n in (1, FEW, MANY))
        for name in (*OF_A_SESSION, *WALKS):
            warm.watch(name)  # so that the server has the scripts
        yield few, many
        for shelf in (warm, few, many):
            shelf.service.close()


@pytest.fixture(scope="module")
def commands(shelves: tuple[Shelf, Shelf]) -> dict[str, tuple[list[Command], list[Command]]]:
    """By method: what the server ran for the user with few sessions, and for the other one."""
    few, many = shelves
    names = [name for name in METHODS if name not in BACKGROUND]
    return {name: (few.watch(name), many.watch(name)) for name in names}


Commands = dict[str, tuple[list[Command], list[Command]]]


@pytest.mark.parametrize("name", OF_A_SESSION)
def test_a_session_costs_the_same_among_many(commands: Commands, name: str) -> None:
    few, many = (Counter(command.name for command in run) for run in commands[name])
    assert few == many
    assert not few.keys() & {"HSCAN", "SCAN", "KEYS"}


@pytest.mark.parametrize("name", [*OF_A_SESSION, *WALKS])
def test_no_command_reads_or_walks_a_shared_hash_at_once(commands: Commands, name: str) -> None:
    _, many = commands[name]
    assert many
    shared = [c for c in many if c.name in WHOLE_HASH and c.key.startswith(("sess:", "sesssum:"))]
    assert shared == []
    assert not [c for c in many if c.is_inner and c.name in ("HSCAN", "SCAN", "KEYS", "SORT")]


def test_a_large_hash_is_walked_in_several_pages(commands: Commands) -> None:
    few, many = (Counter(command.name for command in run) for run in commands["list_sessions"])
    assert few["HSCAN"] == 1
    assert 3 <= many["HSCAN"] <= 20
