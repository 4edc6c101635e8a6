"""In place of LangChain's older histories on Redis: their arguments, their calls, any client."""

from __future__ import annotations

import importlib
import inspect
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import fakeredis
import pytest
import redis
import redis.asyncio
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import (
    BackendUnavailableError,
    ConfigurationError,
    RedisSessionChatMessageHistory,
)
from langchain_redis_session._connections.twins import make_twin_factory
from langchain_redis_session._flow.scripts import ScriptMissingError
from langchain_redis_session.scripts import bindings
from tests.integration.conftest import MakeHistory
from tests.proxy import CuttingProxy
from tests.servers import HOST, RedisCluster, RedisServer

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*langchain-community.* is being sunset"),
    pytest.mark.filterwarnings("ignore:The class `RedisChatMessageHistory` was deprecated"),
]


class Older(NamedTuple):
    """An older history: where it is, and the arguments that its constructor takes."""

    module: str
    arguments: dict[str, Any]


COMMUNITY = Older(
    "langchain_community.chat_message_histories",
    {"session_id": "s1", "url": "memory://drop-in", "key_prefix": "message_store:", "ttl": 60},
)
PARTNER = Older(
    "langchain_redis",
    {
        "session_id": "s1",
        "redis_url": "memory://drop-in",
        "key_prefix": "chat:",
        "ttl": 60,
        "index_name": "idx:chat_history",
        "redis_client": None,
        "overwrite_index": False,
        "kwargs": {"socket_timeout": 3},
    },
)
# The older of the two has only these, in this order.
SHARED_PLACES = ("session_id", ("url", "redis_url"), "key_prefix", "ttl")

older = pytest.mark.parametrize("old", [COMMUNITY, PARTNER], ids=lambda old: old.module)


def load_older(old: Older) -> Any:
    """Give the class, or skip."""
    try:
        return importlib.import_module(old.module).RedisChatMessageHistory
    except ImportError:
        pytest.skip(f"{old.module} is not installed")


# The constructor.


@older
def test_the_arguments_are_those_of_the_older_class(old: Older) -> None:
    parameters = list(inspect.signature(load_older(old).__init__).parameters)[1:]
    assert parameters == list(old.arguments)
    for name, known in zip(parameters, SHARED_PLACES, strict=False):
        assert name in known


@older
def test_every_argument_is_accepted(old: Older) -> None:
    arguments = {name: value for name, value in old.arguments.items() if name != "kwargs"}
    arguments.update(old.arguments.get("kwargs", {}))
    history = RedisSessionChatMessageHistory(**arguments)
    assert history.session_id == "s1"
    assert "memory://drop-in" in repr(history)
    accepted = inspect.signature(RedisSessionChatMessageHistory).parameters
    assert set(old.arguments) - {"kwargs"} <= set(accepted)


@older
def test_the_first_four_stand_where_they_stood(old: Older) -> None:
    values = list(old.arguments.values())[:4]
    by_place = RedisSessionChatMessageHistory(*values)
    by_name = RedisSessionChatMessageHistory(**dict(list(old.arguments.items())[:4]))
    assert by_place.service is by_name.service
    assert by_place.session_key == by_name.session_key


@older
def test_the_defaults_need_no_server(old: Older) -> None:
    """As with the older classes' defaults; but nothing is asked at construction."""
    assert "redis://localhost:6379" in repr(RedisSessionChatMessageHistory("s1"))


def test_a_colon_at_the_end_of_the_prefix_is_dropped(
    redis_server: RedisServer, key_prefix: str
) -> None:
    for prefix in (key_prefix, f"{key_prefix}:"):
        RedisSessionChatMessageHistory("s1", redis_server.url, prefix).add_user_message(prefix)
    with redis_server.client() as client:
        keys = set(client.scan_iter(f"{key_prefix}*"))
        assert keys == {
            f"{key_prefix}:{key}".encode()
            for key in ("sess:{default}:default", "event:{default}:default:s1")
        }
        client.unlink(*keys)


# The methods.


@pytest.fixture(params=[COMMUNITY.module, PARTNER.module, "memory", "standalone"])
def some_history(
    request: pytest.FixtureRequest, redis_server: RedisServer, key_prefix: str
) -> Iterator[Any]:
    """An older history, or ours."""
    if request.param in ("memory", "standalone"):
        url = redis_server.url if request.param == "standalone" else f"memory://{key_prefix}"
        history = RedisSessionChatMessageHistory("s1", url, f"{key_prefix}:")
        yield history
        history.service.delete_session(history.session_key)
        history.service.close()
        return
    old = COMMUNITY if request.param == COMMUNITY.module else PARTNER
    cls = load_older(old)
    try:
        history = cls("s1", redis_server.url, f"{key_prefix}:")
    except Exception as error:
        if "FT." not in str(error):
            raise
        pytest.skip("langchain_redis needs a server with the search module")
    yield history
    history.clear()
    history.redis_client.close()


def test_a_history_behaves_like_those_it_replaces(some_history: Any) -> None:
    history = some_history
    assert history.messages == []
    assert history.session_id == "s1"
    history.add_user_message("one")
    history.add_ai_message("two")
    history.add_user_message(HumanMessage("three"))
    history.add_ai_message(AIMessage("four"))
    history.add_message(SystemMessage("five"))
    history.add_messages([HumanMessage("six"), AIMessage("seven")])
    assert history.messages == [
        HumanMessage("one"),
        AIMessage("two"),
        HumanMessage("three"),
        AIMessage("four"),
        SystemMessage("five"),
        HumanMessage("six"),
        AIMessage("seven"),
    ]
    assert str(history).splitlines()[:2] == ["Human: one", "AI: two"]
    if hasattr(history, "id"):
        assert history.id == "s1"
    if hasattr(history, "__len__"):
        assert len(history) == 7
    if hasattr(history, "search_messages"):
        (found,) = history.search_messages("seven")
        assert (found["content"], found["type"]) == ("seven", "ai")
        assert history.search_messages("") == history.search_messages("nowhere") == []
    history.clear()
    assert history.messages == []
    history.clear()


async def test_an_async_history_behaves_like_those_it_replaces(some_history: Any) -> None:
    history = some_history
    await history.aadd_messages([HumanMessage("one"), AIMessage("two")])
    assert await history.aget_messages() == [HumanMessage("one"), AIMessage("two")]
    assert history.messages == [HumanMessage("one"), AIMessage("two")]
    await history.aclear()
    assert await history.aget_messages() == []


RICH: list[BaseMessage] = [
    HumanMessage("1 + 2?", name="ann", id="h1", additional_kwargs={"lang": "en"}),
    AIMessage(
        "",
        id="a1",
        name="bot",
        tool_calls=[ToolCall(name="add", args={"a": 1, "b": 2}, id="c1", type="tool_call")],
        usage_metadata={"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
        response_metadata={"model_name": "m"},
    ),
    ToolMessage("3", tool_call_id="c1", name="add", id="t1", artifact={"rows": [1]}),
    FunctionMessage(content="x", name="f", id="f1"),
    AIMessage([{"type": "reasoning", "reasoning": "sum"}, {"type": "text", "text": "3"}], id="a2"),
]


def test_every_field_comes_back(some_history: Any) -> None:
    if type(some_history).__module__.startswith("langchain_redis."):
        pytest.skip("langchain_redis loses names, ids, tool calls and metadata")
    some_history.add_messages(RICH)
    assert some_history.messages == RICH


def test_search_gives_what_the_older_one_gives(make_history: MakeHistory) -> None:
    history = make_history()
    history.add_messages([HumanMessage(f"Learning {n}") for n in range(12)])
    history.add_message(AIMessage("Machine learning is fun", name="bot"))
    found = history.search_messages("machine LEARNING")
    assert [(message["type"], message["content"]) for message in found] == [
        ("ai", "Machine learning is fun")
    ]
    assert found[0]["name"] == "bot"
    assert len(history.search_messages("learning")) == 10
    assert [m["content"] for m in history.search_messages("learning", limit=2)] == [
        "Learning 11",
        "Machine learning is fun",
    ]
    assert history.search_messages("  ") == history.search_messages(None) == []  # type: ignore[arg-type]


async def test_an_async_search_finds_what_a_sync_one_finds(make_history: MakeHistory) -> None:
    history = make_history()
    history.add_messages([HumanMessage("Learning"), AIMessage("Machine learning")])
    found = await history.asearch_messages("learning", limit=1)
    assert found == history.search_messages("learning", limit=1)
    assert [message["content"] for message in found] == ["Machine learning"]
    assert await history.asearch_messages(" ") == []


def test_attributes_that_programs_use(make_history: MakeHistory, key_prefix: str) -> None:
    history = make_history("s:1", user_id="ann", key_prefix=f"{key_prefix}:", ttl=60)
    history.add_user_message("hi")
    assert history.key_prefix == key_prefix
    assert history.key == f"{key_prefix}:event:{{default}}:ann:s%3A1"
    assert history.redis_client.zcard(history.key) == 1
    assert 0 < history.redis_client.ttl(history.key) <= history.ttl == 60
    assert type(history.ttl) is int
    assert make_history(ttl=0.5).ttl == 0.5
    assert make_history().ttl is make_history(ttl=0).ttl is None
    by_service = RedisSessionChatMessageHistory("s2", service=history.service)
    assert (by_service.ttl, by_service.key_prefix) == (60, key_prefix)
    assert by_service.redis_client is history.redis_client


def test_a_client_of_ones_own_is_the_client() -> None:
    client = fakeredis.FakeRedis()
    history = RedisSessionChatMessageHistory("s1", redis_client=client)
    assert history.redis_client is client


async def test_what_stands_for_messages(make_history: MakeHistory) -> None:
    history = make_history()
    given: Any = ["one", ("ai", "two"), {"role": "user", "content": "three"}]
    history.add_messages(given)
    await history.aadd_messages(given)
    assert history.messages == [HumanMessage("one"), AIMessage("two"), HumanMessage("three")] * 2


def test_an_empty_history_is_true(make_history: MakeHistory) -> None:
    """`history or make_one()` would forget it."""
    assert make_history()


# Clients: an async one is made like a sync one that was given.


async def use_both_ways(history: RedisSessionChatMessageHistory) -> None:
    history.add_messages(RICH[:3])
    await history.aadd_messages(RICH[3:])
    assert history.messages == RICH
    assert await history.aget_messages() == RICH
    await history.aclear()
    assert history.messages == []
    assert await history.service.adelete_session(history.session_key)


CLIENT_OPTIONS: list[dict[str, Any]] = [
    {},
    {"decode_responses": True},
    {"protocol": 2, "decode_responses": True},
    {"protocol": 3},
    {"protocol": 3, "decode_responses": True, "encoding": "latin-1"},
    {"db": 3, "client_name": "shop", "socket_timeout": 3, "health_check_interval": 1},
    {"retry": Retry(NoBackoff(), 2), "retry_on_error": [redis.BusyLoadingError]},
    {"socket_keepalive": True, "max_connections": 3},
]


def name_options(options: dict[str, Any]) -> str:
    return "-".join(options) or "plain"


@pytest.mark.parametrize("options", CLIENT_OPTIONS, ids=name_options)
async def test_client_options_by_url(
    redis_server: RedisServer, key_prefix: str, options: dict[str, Any]
) -> None:
    options = dict(options)
    url = f"redis://{HOST}:{redis_server.port}/{options.pop('db', 0)}"
    history = RedisSessionChatMessageHistory("s1", url, key_prefix, **options)
    await use_both_ways(history)
    await history.service.aclose()


@pytest.mark.parametrize("options", CLIENT_OPTIONS, ids=name_options)
async def test_a_client_given_is_used_and_stays_open(
    redis_server: RedisServer, key_prefix: str, options: dict[str, Any]
) -> None:
    with redis.Redis(host=HOST, port=redis_server.port, **options) as client:
        history = RedisSessionChatMessageHistory("s1", "ignored", key_prefix, redis_client=client)
        await use_both_ways(history)
        await history.service.aclose()
        assert client.ping()  # ours to use, not ours to close


def test_scripts_are_sent_in_utf_8() -> None:
    """Whatever the client's encoding; a server that has the script would not show it."""
    flow = iter(bindings.get_time(b"k"))
    next(flow)
    assert isinstance(flow.throw(ScriptMissingError())[1], bytes)  # type: ignore[index]


async def test_a_twin_is_in_the_same_database_by_the_same_name(
    redis_server: RedisServer, key_prefix: str
) -> None:
    with redis.Redis(host=HOST, port=redis_server.port, db=5, client_name=key_prefix) as client:
        history = RedisSessionChatMessageHistory("s1", key_prefix=key_prefix, redis_client=client)
        await history.aadd_messages([HumanMessage("one")])
        assert list(client.scan_iter(f"{key_prefix}:event:*"))
        named = [c for c in client.client_list() if c["name"] == key_prefix]
        assert [c["db"] for c in named] == ["5", "5"]
        history.service.delete_session(history.session_key)
        await history.service.aclose()


async def test_the_async_twin_of_a_blocking_pool_has_its_limits(
    redis_server: RedisServer, key_prefix: str
) -> None:
    pool = redis.BlockingConnectionPool.from_url(redis_server.url, max_connections=2, timeout=7)
    with redis.Redis(connection_pool=pool) as client:
        history = RedisSessionChatMessageHistory("s1", key_prefix=key_prefix, redis_client=client)
        await use_both_ways(history)
        make_twin = make_twin_factory(client)
        assert make_twin is not None
        twin = make_twin().connection_pool
        assert isinstance(twin, redis.asyncio.BlockingConnectionPool)
        assert (twin.max_connections, twin.timeout) == (2, 7)
        await history.service.aclose()
    pool.disconnect()


async def test_a_unix_socket_works_by_url_and_by_client(
    redis_server: RedisServer, key_prefix: str
) -> None:
    history = RedisSessionChatMessageHistory("s1", redis_server.unix_url, key_prefix)
    await use_both_ways(history)
    await history.service.aclose()
    with redis.Redis(unix_socket_path=str(redis_server.socket_path)) as client:
        history = RedisSessionChatMessageHistory("s1", key_prefix=key_prefix, redis_client=client)
        await use_both_ways(history)
        await history.service.aclose()


async def test_a_password_works_and_is_never_shown(
    make_redis_server: Callable[..., RedisServer],
) -> None:
    server = make_redis_server(password="p@ss:w/rd")
    history = RedisSessionChatMessageHistory("s1", server.url)
    await use_both_ways(history)
    assert "p@ss" not in repr(history)
    assert "rd@" not in repr(history)
    await history.service.aclose()

    class Provider(redis.CredentialProvider):
        asked = 0

        def get_credentials(self) -> tuple[str]:
            self.asked += 1
            return ("p@ss:w/rd",)

    provider = Provider()
    for client in (
        redis.Redis(host=HOST, port=server.port, password="p@ss:w/rd"),
        redis.Redis(host=HOST, port=server.port, credential_provider=provider),
    ):
        history = RedisSessionChatMessageHistory("s1", redis_client=client)
        await use_both_ways(history)
        await history.service.aclose()
        client.close()
    assert provider.asked == 2


async def test_tls_works_by_url_and_by_client(
    tls_redis_server: RedisServer | CuttingProxy, key_prefix: str
) -> None:
    history = RedisSessionChatMessageHistory("s1", tls_redis_server.url, key_prefix)
    await use_both_ways(history)
    await history.service.aclose()
    assert tls_redis_server.certificates is not None
    with redis.Redis(
        host="localhost",
        port=tls_redis_server.port,
        ssl=True,
        ssl_ca_certs=str(tls_redis_server.certificates.authority),
        ssl_check_hostname=True,
        ssl_min_version=ssl.TLSVersion.TLSv1_2,
    ) as client:
        history = RedisSessionChatMessageHistory("s1", key_prefix=key_prefix, redis_client=client)
        await use_both_ways(history)
        await history.service.aclose()


async def test_a_twin_checks_certificates_too(
    tls_redis_server: RedisServer | CuttingProxy, key_prefix: str
) -> None:
    # It was not told of the authority.
    once = Retry(NoBackoff(), 0)
    with redis.Redis(host=HOST, port=tls_redis_server.port, ssl=True, retry=once) as client:
        history = RedisSessionChatMessageHistory("s1", key_prefix=key_prefix, redis_client=client)
        with pytest.raises(BackendUnavailableError, match=r"(?i)certificate"):
            history.add_user_message("hi")
        with pytest.raises(BackendUnavailableError, match=r"(?i)certificate"):
            await history.aadd_messages([HumanMessage("hi")])
        await history.service.aclose()


@pytest.mark.parametrize("retries", [0, 2])
async def test_a_twin_tries_again_as_often(
    cutting_proxy: CuttingProxy, key_prefix: str, retries: int
) -> None:
    retrying = {"retry": Retry(NoBackoff(), retries), "retry_on_error": [redis.ConnectionError]}
    with cutting_proxy.client(**retrying) as client:
        history = RedisSessionChatMessageHistory("s1", key_prefix=key_prefix, redis_client=client)
        await history.aadd_messages([HumanMessage("one")])
        cutting_proxy.cut_before(b"EVALSHA")
        if retries:
            await history.aadd_messages([HumanMessage("two")])
        else:
            with pytest.raises(BackendUnavailableError):
                await history.aadd_messages([HumanMessage("two")])
        assert len(await history.aget_messages()) == (2 if retries else 1)
        await history.service.adelete_session(history.session_key)
        await history.service.aclose()


@pytest.mark.parametrize(
    "options",
    [
        {"ssl": True, "ssl_validate_ocsp": True},  # redis.asyncio has no such check
        {"redis_connect_func": lambda connection: connection.on_connect()},
        {"connection_class": type("Own", (redis.Connection,), {})},
    ],
    ids=name_options,
)
async def test_clients_without_a_twin(options: dict[str, Any]) -> None:
    pool = None
    if "connection_class" in options:
        pool = redis.ConnectionPool(**options)
        options = {}
    with redis.Redis(connection_pool=pool, **options) as client:
        history = RedisSessionChatMessageHistory("s1", redis_client=client)
        with pytest.raises(ConfigurationError, match="pass async_client= too"):
            await history.aget_messages()


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"protocol": 3}])
async def test_a_client_of_a_cluster_reaches_every_slot(
    redis_cluster: RedisCluster, key_prefix: str, options: dict[str, Any]
) -> None:
    with redis_cluster.client(**options) as client:
        for app in ("a", "b", "c", "d"):  # in different slots
            history = RedisSessionChatMessageHistory(
                "s1", key_prefix=key_prefix, app_name=app, redis_client=client
            )
            await use_both_ways(history)
        await history.service.aclose()


def test_a_clusters_twin_speaks_tls_too() -> None:
    """A `rediss://` URL leaves a class in a sync cluster client; the async one takes a flag."""

    class Cluster(redis.RedisCluster):
        def __init__(self) -> None:
            self.user_on_connect_func = None
            self.read_from_replicas = False
            self.nodes_manager: Any = self

        _require_full_coverage = True
        address_remap = None

        def get_connection_kwargs(self) -> dict[str, Any]:
            return {"connection_class": redis.SSLConnection, "ssl_ca_certs": "ca.pem"}

        def get_nodes(self) -> list[Any]:
            return [redis.cluster.ClusterNode(HOST, 1)]

        def __del__(self) -> None: ...

    factory = make_twin_factory(Cluster())
    assert factory is not None
    twin = factory()
    assert twin.connection_kwargs["ssl_ca_certs"] == "ca.pem"
    assert twin.connection_kwargs["connection_class"] is redis.asyncio.SSLConnection


@pytest.mark.parametrize("cls", [fakeredis.FakeRedis, fakeredis.FakeStrictRedis])
@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"db": 2}], ids=name_options)
async def test_a_client_of_fakeredis_works_both_ways(
    cls: type[Any], options: dict[str, Any]
) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(cls(server=fakeredis.FakeServer(), **options))
        history = RedisSessionChatMessageHistory("s1", redis_client=client)
        await use_both_ways(history)
        await history.service.aclose()
