"""What is told of an event without building its message is what building it tells."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_redis_session._codec import event_glance
from langchain_redis_session._codec.event_glance import count_messages, read_message_id
from langchain_redis_session._codec.events import decode_event, encode_event
from langchain_redis_session.errors import CorruptEventError
from langchain_redis_session.models import Event
from tests.effort import examples
from tests.fuzz.entries import make_seeds
from tests.fuzz.mutations import break_bytes
from tests.unit.messages import messages


def expect_same(data: bytes) -> None:
    """Compare with what reading the event finds, where it can be read."""
    try:
        event = decode_event(data)
    except CorruptEventError:
        return
    message = event.message
    assert read_message_id(data) == (None if message is None else message.id)
    assert count_messages(data) == (message is not None) + len(event.further_messages)


@examples(200)
@given(messages())
def test_a_message_that_was_written(message: BaseMessage) -> None:
    expect_same(encode_event(Event(message, id="e1")))


@pytest.mark.parametrize("seed", range(5))
def test_a_glance_at_broken_entries_tells_what_decoding_does(seed: int) -> None:
    random, seeds = Random(seed), make_seeds()["event"]
    for data in seeds:
        expect_same(data)
    for _ in range(300):
        expect_same(break_bytes(random.choice(seeds), random))


@pytest.mark.parametrize(
    "message", [HumanMessage("hi", id="m1"), HumanMessage("hi"), AIMessage("", id="m1")]
)
def test_a_usual_message_is_not_built(
    monkeypatch: pytest.MonkeyPatch, message: BaseMessage
) -> None:
    data = encode_event(Event(message, id="e1"))
    monkeypatch.setattr(event_glance, "decode_event", lambda _: pytest.fail("it is built"))
    assert (read_message_id(data), count_messages(data)) == (message.id, 1)
