"""Histories and services that leave their process or are copied: they connect anew."""

from __future__ import annotations

import copy
import pickle
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import (
    ConfigurationError,
    RedisSessionChatMessageHistory,
    RedisSessionService,
    SessionCallbackHandler,
    SessionSummarizer,
)
from tests.processes import call_in_processes
from tests.servers import RedisServer


class Marking(SessionCallbackHandler):
    """Marks what is appended, so that it can be seen to be there."""

    def on_append_event_start(self, context: Any) -> None:
        context.event.tag = "marked"


def answer(history: RedisSessionChatMessageHistory) -> list[str]:
    """Read and write; in another process."""
    texts = [str(message.content) for message in history.messages]
    history.add_messages([AIMessage("hello")])
    return texts


def append(service: RedisSessionService, name: str) -> int:
    """Likewise."""
    key = service.create_session("shop", "ann", name).key
    service.append_messages(key, [HumanMessage("hi")] * 5)
    service.create_summary(key, force=True)
    service.close()
    return 1


@pytest.fixture
def prefix() -> str:
    return f"pickle-{uuid4().hex}"


def test_a_history_works_in_another_process(redis_server: RedisServer, prefix: str) -> None:
    history = RedisSessionChatMessageHistory(
        "s1", redis_server.url, prefix, 60, user_id="ann", max_messages=2
    )
    history.add_messages([HumanMessage("first"), HumanMessage("hi")])
    assert call_in_processes(answer, [(history,)]) == [["first", "hi"]]
    assert [message.text for message in history.messages] == ["hi", "hello"]


def test_a_service_takes_its_options_hooks_and_summarizer_along(
    redis_server: RedisServer, prefix: str
) -> None:
    model = FakeListChatModel(responses=["a short summary"])
    service = RedisSessionService(
        redis_server.url,
        key_prefix=prefix,
        session_event_limit=3,
        enable_async_persist=True,
        callbacks=[Marking()],
        summarizer=SessionSummarizer(model),
    )
    assert call_in_processes(append, [(service, "s1")]) == [1]
    (listed,) = service.list_sessions("shop", "ann", include_events=True)
    assert [event.tag for event in listed.events] == ["marked"] * 3
    assert service.get_summary(listed.key).text == "a short summary"  # type: ignore[union-attr]
    service.close()


@pytest.mark.parametrize(
    "make", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_have_what_the_original_was_made_of(
    make: Any, redis_server: RedisServer, prefix: str
) -> None:
    with RedisSessionService(
        redis_server.url, key_prefix=prefix, session_event_limit=2, callbacks=[Marking()]
    ) as service:
        key = service.create_session("shop", "ann", "s1").key
        other = make(service)
        assert type(other) is RedisSessionService
        other.append_messages(key, [HumanMessage(f"{n}") for n in range(5)])
        history = RedisSessionChatMessageHistory(
            "s1", service=service, app_name="shop", user_id="ann"
        )
        for one in (history, make(history)):
            assert [message.text for message in one.messages] == ["3", "4"]
            assert one.session_key == key
        other.close()
        assert service.ping()


class Quiet(RedisSessionChatMessageHistory):
    """A subclass with a constructor of its own."""

    def __init__(self, session_id: str, *, loud: bool = False) -> None:
        super().__init__(session_id, "memory://pickled-quiet")
        self.loud = loud


def test_a_subclass_is_made_again_as_it_was() -> None:
    quiet = Quiet("s1", loud=True)
    quiet.add_messages([HumanMessage("hi")])
    other = pickle.loads(pickle.dumps(quiet))
    assert (type(other), other.loud, other.messages) == (Quiet, True, quiet.messages)


def test_a_store_in_memory_is_the_same_by_its_name() -> None:
    history = RedisSessionChatMessageHistory("s1", f"memory://{uuid4()}")
    history.add_messages([HumanMessage("hi")])
    for other in (copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert other.messages == history.messages


def test_a_client_of_ones_own_cannot_go_along_but_can_be_shared(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        service = RedisSessionService(client=client)
        history = RedisSessionChatMessageHistory("s1", redis_client=client)
        behind = RedisSessionChatMessageHistory("s1", service=service)
        for one, name in ((service, "client="), (history, "redis_client="), (behind, "client=")):
            with pytest.raises(ConfigurationError, match=f"can't be pickled with {name}"):
                pickle.dumps(one)
            assert copy.deepcopy(one) is not one
        assert copy.deepcopy(service).ping()


def test_what_cannot_be_pickled_is_named() -> None:
    service = RedisSessionService("memory://pickled", on_persist_error=lambda letter: None)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(service)
    assert copy.deepcopy(service).ping()
