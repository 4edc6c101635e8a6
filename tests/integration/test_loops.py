"""Event loops end in any way, and leave neither connections nor themselves behind."""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from typing import Any

import pytest
from langchain_core.language_models import FakeListLLM
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import (
    ConfigurationError,
    RedisSessionChatMessageHistory,
    RedisSessionService,
    SessionKey,
    SessionSummarizer,
    any_of,
    event_threshold,
    time_threshold,
)
from tests.processes import run_python
from tests.servers import RedisServer

LOOPS = os.environ.get("LOOPS", "20")
A_HANDFUL = 5
KEY = SessionKey("loops", "u", "s")


@pytest.mark.parametrize("how", ["plain", "run"])
@pytest.mark.parametrize("kind", ["url", "twin", "write-behind", "memory"])
def test_loops_that_end_leave_nothing_behind(
    redis_server: RedisServer, kind: str, how: str
) -> None:
    ended = run_python("-m", "tests.integration.loops", redis_server.url, kind, how, LOOPS)
    assert ended.returncode == 0, ended.stderr
    left = json.loads(ended.stdout)
    # Three of the last loop, and one of write-behind's threads each.
    assert left["connections"] <= 3 + 10, left
    assert left["loops"] <= A_HANDFUL, left
    if kind != "write-behind":
        assert left["connections"] <= A_HANDFUL, left


def test_a_client_that_was_handed_in_serves_one_loop(
    redis_server: RedisServer, key_prefix: str
) -> None:
    client = redis_server.async_client()
    service = RedisSessionService(async_client=client, key_prefix=key_prefix)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        for _ in range(2):
            assert first.run_until_complete(service.aget_messages(KEY)) == []
        with pytest.raises(ConfigurationError, match="async_client= is used in a second event"):
            second.run_until_complete(service.aget_messages(KEY))
        assert first.run_until_complete(service.aget_messages(KEY)) == []
        first.run_until_complete(client.aclose())
    finally:
        first.close()
        second.close()


def make_options() -> dict[str, Any]:
    return {
        "retry_on_error": [ConnectionError],
        "summary_filter_allowlist": ["a", "b"],
        "socket_keepalive_options": {4: 10},
        "retry": Retry(NoBackoff(), 1),
    }


def test_options_without_a_hash_are_shared_too() -> None:
    histories = [
        RedisSessionChatMessageHistory("s", "redis://nowhere", **make_options()) for _ in range(3)
    ]
    assert len({id(history.service) for history in histories}) == 1
    changed = make_options() | {"summary_filter_allowlist": ["a"]}
    other = RedisSessionChatMessageHistory("s", "redis://nowhere", **changed)
    assert other.service is not histories[0].service


def test_a_list_that_changes_later_changes_no_service() -> None:
    allowed = ["a"]
    url = "redis://changing"
    first = RedisSessionChatMessageHistory("s", url, summary_filter_allowlist=allowed)
    allowed.append("b")
    second = RedisSessionChatMessageHistory("s", url, summary_filter_allowlist=allowed)
    assert first.service is not second.service


def test_summarizers_that_do_the_same_share_a_service() -> None:
    model = FakeListLLM(responses=["so far"])

    def make(**changed: Any) -> RedisSessionService:
        options: dict[str, Any] = {
            "prompt": "Sum up {conversation_text}",
            "trigger": any_of(event_threshold(9), time_threshold(60)),
            "skip_recent": 2,
        }
        summarizer = SessionSummarizer(changed.pop("model", model), **options | changed)
        history = RedisSessionChatMessageHistory("s", "redis://nowhere", summarizer=summarizer)
        return history.service

    first = make()
    assert make() is first
    for changed in (
        {"model": FakeListLLM(responses=["so far"])},  # its equal may have another key
        {"prompt": "Shorten {conversation_text}"},
        {"trigger": event_threshold(9)},
        {"skip_recent": 3},
        {"max_input_tokens": 5000},
        {"name": "other"},
    ):
        assert make(**changed) is not first, changed


def test_a_summarizer_of_the_users_own_class_is_another() -> None:
    class Own(SessionSummarizer):
        pass

    model = FakeListLLM(responses=["so far"])
    first = Own(model)
    assert first not in (Own(model), SessionSummarizer(model))
    assert SessionSummarizer(model) in (SessionSummarizer(model),)


def test_objects_made_for_each_history_get_a_word_of_warning() -> None:
    def make() -> RedisSessionChatMessageHistory:
        return RedisSessionChatMessageHistory(
            "s", "redis://objects", on_persist_error=lambda letter: None
        )

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        histories = [make() for _ in range(12)]
    (told,) = caught
    assert "10 services were made" in str(told.message)
    assert "on_persist_error=" in str(told.message)
    assert told.filename == __file__
    assert len({id(history.service) for history in histories}) == 12
