"""What users see of a method is true: its signature, its result, and errors of calls."""

from __future__ import annotations

import inspect
import pydoc
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableLambda

import langchain_redis_session as package
from langchain_redis_session import (
    InvalidSessionKeyError,
    RedisSessionChatMessageHistory,
    RedisSessionService,
    SessionKey,
)
from tests.methods import arguments_of, keyed_names, method_names, public_names

FLOW_METHODS = [name for name in method_names() if name != "flush"]
BOTH = [prefix + name for name in FLOW_METHODS for prefix in ("", "a")]


def public_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Give what users may call: public functions, and public methods of public classes."""
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.isclass(value):
            for member, function in inspect.getmembers(value, inspect.isfunction):
                is_ours = function.__module__.startswith(package.__name__)
                if is_ours and (not member.startswith("_") or member == "__init__"):
                    yield f"{name}.{member}", function
        elif inspect.isfunction(value):
            yield name, value


@pytest.mark.parametrize(("name", "function"), [*public_functions()])
def test_every_annotation_can_be_looked_up(name: str, function: Callable[..., Any]) -> None:
    hints = typing.get_type_hints(function)
    assert "Flow" not in str(inspect.signature(function))
    assert "return" in hints or name.endswith("__init__")


@pytest.mark.parametrize("name", method_names())
def test_the_twin_is_a_coroutine_function_with_the_same_signature(name: str) -> None:
    method = getattr(RedisSessionService, name)
    twin = getattr(RedisSessionService, f"a{name}")
    assert not inspect.iscoroutinefunction(method)
    assert inspect.iscoroutinefunction(twin)
    assert inspect.signature(method) == inspect.signature(twin)
    assert (method.__name__, twin.__name__) == (name, f"a{name}")
    assert twin.__qualname__.endswith(f".a{name}")
    assert inspect.unwrap(twin) is twin


@pytest.mark.parametrize("name", public_names())
def test_help_shows_the_result_and_the_docstring(name: str) -> None:
    function = getattr(RedisSessionService, name)
    text = pydoc.plain(pydoc.render_doc(function))
    assert " -> " in text
    assert "Generator" not in text
    assert inspect.getdoc(function)
    is_async = text.splitlines()[2].startswith("async ")
    assert is_async is inspect.iscoroutinefunction(function)


def test_signatures_hold_types_and_not_their_names() -> None:
    signature = inspect.signature(RedisSessionService.get_messages)
    assert signature.return_annotation == list[BaseMessage]
    assert signature.parameters["limit"].annotation == int | None
    assert inspect.signature(RedisSessionService.adelete_user_state).return_annotation is int
    assert inspect.signature(RedisSessionService.update_app_state).return_annotation is None


@pytest.mark.parametrize("name", BOTH)
def test_a_method_as_a_runnable_tells_the_schema_of_its_result(name: str) -> None:
    with RedisSessionService("memory://schema") as service:
        runnable: RunnableLambda[Any, Any] = RunnableLambda(getattr(service, name))
        assert runnable.get_output_jsonschema()


def test_messages_as_a_runnable_are_a_list_of_messages() -> None:
    with RedisSessionService("memory://schema") as service:
        for method in (service.get_messages, service.aget_messages):
            schema = RunnableLambda(method).get_output_jsonschema()
            assert (schema["type"], schema["items"]) == ("array", {"$ref": "#/$defs/BaseMessage"})


# --- Calls that don't fit ------------------------------------------------------------------------


async def call(service: RedisSessionService, name: str, *args: Any, **kwargs: Any) -> Any:
    result = getattr(service, name)(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


@pytest.fixture(scope="module")
def service() -> Iterator[RedisSessionService]:
    with RedisSessionService("redis://127.0.0.1:1") as service:
        yield service


@pytest.mark.parametrize("name", BOTH)
async def test_an_unknown_argument_is_reported_with_the_public_name(
    service: RedisSessionService, name: str
) -> None:
    begin = rf"^RedisSessionService\.{name}\(\) got an unexpected keyword argument 'zzz'"
    with pytest.raises(TypeError, match=begin):
        await call(service, name, *arguments_of(name), zzz=1)


@pytest.mark.parametrize("name", ["append_messages", "aappend_messages"])
async def test_a_misspelt_argument_is_reported_with_the_one_that_was_meant(
    service: RedisSessionService, name: str
) -> None:
    with pytest.raises(TypeError) as raised:
        await call(service, name, *arguments_of("append_messages"), creat=True)
    assert str(raised.value) == (
        f"RedisSessionService.{name}() got an unexpected keyword argument 'creat'; "
        "did you mean 'create'?"
    )
    assert raised.value.__suppress_context__


TAKES_NOTHING = (
    "ping",
    "aping",
    "list_apps",
    "alist_apps",
    "retry_dead_letters",
    "aretry_dead_letters",
)


async def test_where_nothing_is_near_all_arguments_are_listed(service: RedisSessionService) -> None:
    with pytest.raises(TypeError, match=r"'zzz'; it takes key, filter_key$"):
        await call(service, "get_summary", SessionKey("a", "u", "s"), zzz=1)


@pytest.mark.parametrize("name", [n for n in BOTH if n not in TAKES_NOTHING])
async def test_a_missing_argument_is_reported_with_the_public_name(
    service: RedisSessionService, name: str
) -> None:
    with pytest.raises(TypeError, match=rf"^RedisSessionService\.{name}\(\) missing \d required"):
        await call(service, name)


async def test_a_class_of_the_users_own_is_reported_with_its_name() -> None:
    class Desk(RedisSessionService):
        pass

    with Desk("memory://") as desk, pytest.raises(TypeError, match=r"^Desk\.ping\(\) got"):
        await call(desk, "ping", zzz=1)


@pytest.mark.parametrize("prefix", ["", "a"])
@pytest.mark.parametrize("name", keyed_names())
async def test_three_strings_are_no_session_key(
    service: RedisSessionService, name: str, prefix: str
) -> None:
    others = arguments_of(name)[1:]
    with pytest.raises(InvalidSessionKeyError, match=r"SessionKey\("):
        await call(service, f"{prefix}{name}", "shop", "ann", "s1", *others)


async def test_what_to_write_for_three_strings_is_shown(service: RedisSessionService) -> None:
    with pytest.raises(InvalidSessionKeyError) as raised:
        await call(service, "aget_session", "shop", "ann", "s1")
    assert str(raised.value) == (
        "aget_session() takes one SessionKey, not three strings: SessionKey('shop', 'ann', 's1')"
    )


async def test_a_type_error_from_inside_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, service: RedisSessionService
) -> None:
    def fail(*_: object) -> None:
        raise TypeError("from inside")

    monkeypatch.setattr("langchain_redis_session._verbs.tracks.check_key", fail)
    with pytest.raises(TypeError, match=r"^from inside$"):
        await call(service, "list_tracks", SessionKey("a", "u", "s"))


def test_the_history_shows_its_options() -> None:
    hints = typing.get_type_hints(RedisSessionChatMessageHistory.__init__)
    assert "SharedOptions" in str(hints["options"])
