"""A hook that redacts lets no secret reach Redis, by whatever way it came."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from contextlib import AsyncExitStack
from typing import Any

import fakeredis
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session import (
    AppendEventContext,
    Event,
    RedisSessionChatMessageHistory,
    RedisSessionService,
    SessionCallbackHandler,
    SessionKey,
)
from tests.effort import examples
from tests.waits import PATIENCE_S

SECRET = "s3cr3t"
KEY = SessionKey("shop", "ann", "s1")


def redact(value: Any) -> Any:
    """Give the same, without the secret, to its depths."""
    if isinstance(value, str):
        return value.replace(SECRET, "[redacted]")
    if isinstance(value, dict):
        return {redact(name): redact(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(item) for item in value]
    return value


class Redactor(SessionCallbackHandler):
    """Redacts in place where it can, and by a new message where it must."""

    def __init__(self, *, replaces: bool) -> None:
        self.replaces = replaces

    def on_append_event_start(self, context: AppendEventContext) -> None:
        event = context.event
        event.state_delta = redact(event.state_delta)
        event.extensions = redact(event.extensions)
        event.author, event.tag = redact(event.author), redact(event.tag)
        message = event.message
        if message is None:
            return
        fields = {name: redact(getattr(message, name)) for name in type(message).model_fields}
        if self.replaces:
            event.message = message.model_copy(update=fields)
            return
        for name, value in fields.items():
            setattr(message, name, value)


def surround(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda before, secret, after: before + (SECRET if secret else "") + after,
        text,
        st.booleans(),
        text,
    )


texts = surround(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8))
json_values = st.recursive(
    texts | st.integers(-9, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(texts, json_values, max_size=2)
contents = texts | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}))
calls = st.builds(
    lambda name, args: {"name": name, "args": args, "id": "c", "type": "tool_call"}, texts, objects
)
messages: st.SearchStrategy[BaseMessage] = st.one_of(
    st.builds(HumanMessage, contents, name=texts, additional_kwargs=objects),
    st.builds(SystemMessage, contents),
    st.builds(
        AIMessage, contents, tool_calls=st.lists(calls, max_size=2), response_metadata=objects
    ),
    st.builds(AIMessageChunk, contents, id=texts),
    st.builds(ToolMessage, contents, tool_call_id=texts, artifact=json_values),
)
events = st.builds(
    Event,
    st.none() | messages,
    author=texts,
    tag=texts,
    state_delta=st.dictionaries(st.sampled_from(["k", "user:k", "app:k", "temp:k"]), json_values),
    extensions=st.dictionaries(st.sampled_from(["mine", "yours"]), json_values),
)


def read_raw(server: fakeredis.FakeServer) -> bytes:
    """Give all that is in Redis, base64 and escapes in JSON undone too."""
    client: Any = fakeredis.FakeRedis(server=server)
    parts: list[bytes] = []
    for key in client.keys():
        kind = client.type(key)
        parts.append(key)
        if kind == b"zset":
            parts += client.zrange(key, 0, -1)
        elif kind == b"hash":
            parts += [part for pair in client.hgetall(key).items() for part in pair]
        else:
            parts += client.smembers(key)
    decoded = [text for part in parts for text in walk(part)]
    return b"\n".join([*parts, *decoded])


def walk(part: bytes) -> list[bytes]:
    try:
        value = json.loads(part)
    except ValueError:
        return []
    found: list[bytes] = []

    def visit(value: Any) -> None:
        if isinstance(value, str):
            found.append(value.encode("utf-8", "replace"))
            try:
                found.append(b64decode(value, validate=True))
            except ValueError:
                return
        elif isinstance(value, dict):
            for name, item in value.items():
                visit(name)
                visit(item)
        elif isinstance(value, list):
            for item in value:
                visit(item)

    visit(value)
    return found


async def write(service: RedisSessionService, way: str, event: Event) -> None:
    if way == "event":
        service.append_event(KEY, event)
    elif way == "aevents":
        await service.aappend_events(KEY, [event])
    elif event.message is None:
        await service.aappend_messages(KEY, [], state_delta=event.state_delta or {"k": SECRET})
    elif way == "messages":
        service.append_messages(
            KEY, [event.message], author=event.author, tag=event.tag, state_delta=event.state_delta
        )
    else:
        history = RedisSessionChatMessageHistory(
            "s1", user_id="ann", app_name="shop", service=service
        )
        await history.aadd_messages([event.message])


WAYS = ["event", "aevents", "messages", "history"]


@examples(150)
@given(
    st.lists(st.tuples(st.sampled_from(WAYS), events), min_size=1, max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_no_secret_reaches_redis(
    written: list[tuple[str, Event]], replaces: bool, is_write_behind: bool
) -> None:
    server = fakeredis.FakeServer()

    async def body() -> None:
        service = RedisSessionService(
            client=fakeredis.FakeRedis(server=server),
            async_client=fakeredis.FakeAsyncRedis(server=server),
            enable_async_persist=is_write_behind,
            callbacks=[Redactor(replaces=replaces)],
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(service)
            await service.acreate_session("shop", "ann", "s1")
            for way, event in written:
                await write(service, way, event)
            assert await service.aflush(PATIENCE_S)
            assert len(await service.aget_events(KEY)) == len(written)

    asyncio.run(body())
    assert SECRET.encode() not in read_raw(server)


def test_the_probe_finds_secrets() -> None:
    server = fakeredis.FakeServer()
    service = RedisSessionService(client=fakeredis.FakeRedis(server=server))
    key = service.create_session("shop", "ann", "s1").key
    for event in (
        Event(HumanMessage(f"\u00e9 {SECRET}")),
        Event(state_delta={"k": SECRET}),
        Event(state_delta={"user:k": [SECRET]}),
    ):
        service.append_event(key, event)
        assert SECRET.encode() in read_raw(server)
        service.clear_events(key)
        service.delete_session_state(key, "k")
        service.delete_user_state("shop", "ann", "k")
        assert SECRET.encode() not in read_raw(server)
