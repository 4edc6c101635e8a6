"""An option is the same wherever it stands: checks, signature, docstring, adapters."""

from __future__ import annotations

import inspect
import re
import typing
from typing import Any

import pytest
import redis

import langchain_redis_session as package
from langchain_redis_session import (
    ConfigurationError,
    RedisSessionChatMessageHistory,
    RedisSessionService,
)
from langchain_redis_session._connections.options import ClientOptions, find_unknown
from langchain_redis_session.adapters._sharing import SharedOptions
from langchain_redis_session.config import OPTIONS_OF, ObjectOptions, ServiceOptions, parse_options

CONNECTING = ["redis_url", "redis_instance", "client", "async_client", "extra_options"]
PARAMETERS = inspect.signature(RedisSessionService).parameters
HINTS = typing.get_type_hints(RedisSessionService.__init__)
NOT_TOLD = {"service", "runnable", "options", "name", "index_name", "overwrite_index"}
"""What has a meaning of its own, or none."""
OPTIONS = [name for name in PARAMETERS if name not in CONNECTING]
# What an adapter has under a name of its own.
OWN = {"key_prefix", "callbacks"}
# Of these, an older redis-py has no notion.
LATER = {
    "driver_info",
    "event_dispatcher",
    "legacy_responses",
    "load_balancing_strategy",
    "maint_notifications_config",
    "ssl_exclude_verify_flags",
    "ssl_include_verify_flags",
}


def test_the_constructor_takes_the_options_that_are_checked() -> None:
    assert list(PARAMETERS)[: len(CONNECTING)] == CONNECTING
    assert set(OPTIONS) == set(ServiceOptions.model_fields)


def test_which_option_belongs_where_is_known() -> None:
    """The table that errors tell it from has what the constructors have, but what all have."""
    for name, options in OPTIONS_OF.items():
        parameters = inspect.signature(getattr(package, name)).parameters
        assert set(options) <= set(parameters), name
        left_out = set(parameters) - set(options) - set(OPTIONS_OF["RedisSessionService"])
        assert left_out <= NOT_TOLD, name
        assert len(options) == len(set(options)), name


def test_the_constructor_has_the_defaults_of_the_options() -> None:
    given = parse_options({name: PARAMETERS[name].default for name in OPTIONS})
    assert given == ServiceOptions()


@pytest.mark.parametrize("name", OPTIONS)
def test_the_signature_says_whether_none_is_accepted(name: str) -> None:
    takes_none = HINTS[name] is Any or type(None) in typing.get_args(HINTS[name])
    try:
        parse_options({name: None})
    except ConfigurationError:
        assert not takes_none
    else:
        assert takes_none


@pytest.mark.parametrize("name", OPTIONS)
def test_the_signature_lists_the_words_that_are_accepted(name: str) -> None:
    parts = (HINTS[name], *typing.get_args(HINTS[name]))
    literals = [part for part in parts if typing.get_origin(part) is typing.Literal]
    words = [word for literal in literals for word in typing.get_args(literal)]
    for word in words:
        parse_options({name: word})
    if words:
        with pytest.raises(ConfigurationError):
            parse_options({name: "another"})


@pytest.mark.parametrize("name", ["session_event_limit", "track_event_limit", "track_event_ttl"])
def test_an_option_that_may_be_this_or_that_is_refused_once(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_options({name: -1})
    assert str(caught.value).count(f"{name}=-1 can't work: ") == 1


@pytest.mark.parametrize(
    "function",
    [RedisSessionService, RedisSessionChatMessageHistory],
    ids=lambda function: function.__name__,
)
def test_the_docstring_tells_of_each_argument_in_order(function: Any) -> None:
    doc = inspect.getdoc(function)
    assert doc is not None
    section = re.search(r"^Args:\n(.*?)\n\n", doc, re.M | re.S)
    assert section is not None
    told = re.findall(r"^    (\w+): \S", section[1], re.M)
    assert told == list(inspect.signature(function).parameters)


def test_adapters_take_the_options_of_the_service_with_the_same_types() -> None:
    assert set(SharedOptions.__annotations__) == {
        *(name for name in OPTIONS if name not in OWN),
        *ClientOptions.__annotations__,
    }
    hints = typing.get_type_hints(SharedOptions)
    for name in OPTIONS:
        if name not in OWN:
            assert hints[name] == HINTS[name], name


def test_no_option_of_the_service_is_one_of_the_clients_too() -> None:
    assert not set(PARAMETERS) & set(ClientOptions.__annotations__)


def test_the_client_options_are_those_of_redis_py() -> None:
    names = [name for name in ClientOptions.__annotations__ if name != "connection_class"]
    assert find_unknown(name for name in names if name not in LATER) is None
    assert find_unknown(["socket_timeout", "no_such"]) == "no_such"
    assert find_unknown(["connection_class", "whatever_it_takes"]) is None


def test_objects_are_not_shown_by_the_options() -> None:
    options = parse_options({name: print for name in ObjectOptions.model_fields})
    assert "print" not in repr(options)


# --- Names that there are not --------------------------------------------------------------------


def make_service(options: dict[str, Any]) -> RedisSessionService:
    return RedisSessionService(**options)


def make_history(options: dict[str, Any]) -> RedisSessionChatMessageHistory:
    return RedisSessionChatMessageHistory("s", **options)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("session_tll", "session_ttl"),
        ("summariser", "summarizer"),
        ("redis_uri", "redis_url"),
        ("callback", "callbacks"),
        ("async_clients", "async_client"),
        ("clocks", "clock"),
    ],
)
def test_the_service_names_the_nearest_of_all_arguments(name: str, meant: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make_service({name: 5})
    assert str(raised.value) == f"there is no option {name!r}; did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("session_tll", "session_ttl"),
        ("summariser", "summarizer"),
        ("max_message", "max_messages"),
        ("redis_uri", "redis_url"),
        ("socket_timout", "socket_timeout"),
        ("ssl_ca_cert", "ssl_ca_certs"),
        ("sessionid", "session_id"),
    ],
)
@pytest.mark.parametrize("others", [{}, {"redis_url": "memory://"}], ids=["no URL", "memory"])
def test_a_history_names_the_nearest_of_all_arguments(
    others: dict[str, Any], name: str, meant: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make_history({**others, name: 5})
    assert str(raised.value) == f"there is no option {name!r}; did you mean {meant!r}?"


def test_where_nothing_is_near_it_says_where_to_look() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"'zzz'; the options of RedisSessionService are: redis_url, .*clock$",
    ):
        make_service({"zzz": 5})
    with pytest.raises(ConfigurationError, match="'zzz'; RedisSessionChatMessageHistory takes"):
        make_history({"zzz": 5})


def test_a_misspelt_option_for_clients_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="'socket_timout'; did you mean 'socket_timeout'"):
        RedisSessionService(extra_options={"socket_timout": 5})


def test_what_a_connection_class_takes_is_its_own_affair() -> None:
    class Tagged(redis.Connection):
        def __init__(self, tag: str, **kwargs: Any) -> None:
            self.tag = tag
            super().__init__(**kwargs)  # type: ignore[no-untyped-call]

    options: dict[str, Any] = {"connection_class": Tagged, "tag": "t"}
    assert make_history({"redis_url": "redis://127.0.0.1:1", **options})
