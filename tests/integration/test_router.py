"""A user's sessions over HTTP: what each route gives, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import blockbuster
import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException
from fastapi.testclient import TestClient
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import TypeAdapter
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_session import (
    BackendUnavailableError,
    BudgetExceededError,
    ConfigurationError,
    Event,
    EventRejectedError,
    GetSessionContext,
    Message,
    PersistError,
    RedisSessionService,
    SessionCallbackHandler,
    SessionKey,
    SessionNotFoundError,
    StateTooLargeError,
    install_error_handlers,
    session_router,
)
from tests.proxy import CuttingProxy

ANN = {"x-user": "ann"}
BOB = {"x-user": "bob"}
KEY = SessionKey("default", "ann", "s1")
TALK: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Do you have\n  sencha?"),
    AIMessage("Yes.", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
]


def find_user(x_user: str | None = Header(None)) -> str | None:
    return x_user


def make_app(service: RedisSessionService, **options: Any) -> FastAPI:
    app = FastAPI()
    options = {"user": Depends(find_user), **options}
    app.include_router(session_router(service, **options), prefix="/sessions")
    return app


@pytest.fixture
def service(redis_url: str, key_prefix: str) -> Iterator[RedisSessionService]:
    with RedisSessionService(redis_url, key_prefix=key_prefix) as service:
        service.append_messages(KEY, TALK, create=True)
        yield service


@pytest.fixture
def client(service: RedisSessionService) -> Iterator[TestClient]:
    with TestClient(make_app(service), headers=ANN) as client:
        yield client


def test_a_list_has_what_a_sidebar_shows(client: TestClient, service: RedisSessionService) -> None:
    service.create_session("default", "ann", "s2", state={"title": "Tea"})
    service.create_session("default", "ann", "s3")
    service.create_session("default", "bob", "s4")
    newest, named, talked = client.get("/sessions/").json()
    assert (newest["id"], newest["title"], newest["last_message"]) == ("s3", "", None)
    assert (named["id"], named["title"], named["event_count"]) == ("s2", "Tea", 0)
    assert (talked["id"], talked["title"]) == ("s1", "Do you have sencha?")
    assert talked["event_count"] == 3
    assert talked["last_message"]["usage_metadata"]["total_tokens"] == 3
    assert talked["updated_at"] >= talked["created_at"]
    page = client.get("/sessions/", params={"limit": 1, "offset": 1}).json()
    assert [session["id"] for session in page] == ["s2"]
    service.append_messages(KEY, [HumanMessage("x" * 100)])
    service.clear_events(KEY)
    service.append_messages(KEY, [HumanMessage("long " * 100)])
    title = client.get("/sessions/").json()[0]["title"]
    assert len(title) <= 60
    assert title.endswith("…")


def test_a_session_is_read_by_parts(client: TestClient, service: RedisSessionService) -> None:
    stored = service.get_events(KEY)
    whole = client.get("/sessions/s1").json()
    assert TypeAdapter(list[Event]).validate_python(whole["events"]) == stored
    assert not whole["is_cut"]
    last = client.get("/sessions/s1", params={"limit": 1}).json()
    assert [event["message"]["type"] for event in last["events"]] == ["ai"]
    assert last["is_cut"]
    turn = client.get("/sessions/s1", params={"limit": 1, "start_on": "human"}).json()
    assert [event["message"]["type"] for event in turn["events"]] == ["human", "ai"]
    score = whole["events"][1]["score"]
    older = client.get("/sessions/s1", params={"before": score, "offset": 1}).json()
    assert [event["message"]["type"] for event in older["events"]] == ["system"]
    newer = client.get("/sessions/s1", params={"after": score}).json()
    assert client.get(f"/sessions/s1?after={score}").json() == newer  # as it is, with its plus
    assert len(newer["events"]) == 2


def test_events_are_removed_and_sessions_cleared_and_deleted(
    client: TestClient, service: RedisSessionService
) -> None:
    answer = service.get_events(KEY)[-1]
    service.update_session_state(KEY, {"title": "Tea"})
    assert client.delete(f"/sessions/s1/events/{answer.id}").status_code == 204
    assert client.delete(f"/sessions/s1/events/{answer.id}").status_code == 404
    assert service.count_events(KEY) == 2
    assert client.post("/sessions/s1/clear").json() == {"removed": 2}
    assert client.get("/sessions/s1/state").json() == {"title": "Tea"}
    assert client.delete("/sessions/s1").status_code == 204
    assert service.get_session(KEY) is None


def test_state_is_patched_name_by_name(client: TestClient, service: RedisSessionService) -> None:
    service.update_app_state("default", {"open": True})
    state = {"title": "Tea", "raw": {"$lc": ["bytes", "/wA="]}, "user:lang": "en", "temp:x": 1}
    state["user:app:x"] = 1  # a name as any other, of the user's
    shown = client.patch("/sessions/s1/state", json=state).json()
    del state["temp:x"]
    assert shown == {**state, "app:open": True} == client.get("/sessions/s1/state").json()
    assert service.get_session(KEY).state["raw"] == b"\xff\x00"  # type: ignore[union-attr]
    changed = {"title": None, "user:lang": None, "user:app:x": None, "n": 0}
    assert client.patch("/sessions/s1/state", json=changed).json() == {
        "n": 0,
        "raw": state["raw"],
        "app:open": True,
    }


def test_clients_do_not_change_what_belongs_to_everybody(
    client: TestClient, service: RedisSessionService
) -> None:
    service.update_app_state("default", {"price": 3})
    for value in (0, None):
        refused = client.patch("/sessions/s1/state", json={"n": 1, "app:price": value})
        assert refused.status_code == 403
    state = service.get_session(KEY).state  # type: ignore[union-attr]
    assert state == {"app:price": 3}


ROUTES = [
    ("GET", "/sessions/s1"),
    ("DELETE", "/sessions/s1"),
    ("POST", "/sessions/s1/clear"),
    ("GET", "/sessions/s1/state"),
    ("PATCH", "/sessions/s1/state"),
    ("DELETE", "/sessions/s1/events/e1"),
    ("GET", "/sessions/s1/follow"),
]


def test_somebody_elses_session_is_none_and_stays_as_it_is(
    client: TestClient, service: RedisSessionService
) -> None:
    before = service.get_session(KEY)
    event_id = service.get_events(KEY)[0].id
    for method, path in ROUTES:
        path, body = path.replace("e1", event_id), {"user:x": 1} if method == "PATCH" else None
        # Whatever else a client says about who it is.
        named = f"{path}?user_id=ann&user=ann&app_name=default"
        answer = client.request(method, named, headers=BOB, json=body)
        assert answer.status_code == 404, (method, path, answer.text)
        assert "Yes." not in answer.text
    assert service.get_session(KEY) == before
    assert service.get_user_state("default", "bob") == {}
    assert client.get("/sessions/", headers=BOB).json() == []


def test_nobody_is_let_in(client: TestClient) -> None:
    for method, path in [*ROUTES, ("GET", "/sessions/")]:
        client.headers.pop("x-user", None)
        assert client.request(method, path, json={}).status_code == 401, (method, path)


def test_what_cannot_be_an_id_or_an_option_is_refused(client: TestClient) -> None:
    for path in (
        f"/sessions/{'x' * 513}",
        f"/sessions/{'x' * 513}/follow",
        "/sessions/s1?limit=0",
        "/sessions/s1?limit=100000",
        "/sessions/s1?limit=many",
        "/sessions/s1?after=nan",
        "/sessions/s1?after=5",
        "/sessions/s1?start_on=ai",
        "/sessions/?offset=-1",
        "/sessions/s1/follow?after=5",
    ):
        assert client.get(path).status_code == 422, path
    last_id = {"last-event-id": "here"}
    assert client.get("/sessions/s1/follow", headers=last_id).status_code == 422
    for body in ([1], {"tracks": 1}, {"tracks": None}, {"": 1}):
        assert client.patch("/sessions/s1/state", json=body).status_code == 422, body
    for levels in (400, 600, 9000):  # for some there is room
        deep = '{"a":' + "[" * levels + "]" * levels + "}"
        json_type = {"content-type": "application/json"}
        answer = client.patch("/sessions/s1/state", content=deep, headers=json_type)
        assert answer.status_code < 500, levels
    for odd in ("..%2fs1", "%00", "%ff", "a b", "*", "{x}", "%f0%9f%8d%b5"):
        assert client.get(f"/sessions/{odd}").status_code == 404, odd


def test_ids_of_a_database_are_as_good_as_texts() -> None:
    service = RedisSessionService("memory://router-ids")
    for user in (7, UUID(int=7)):
        service.create_session("default", str(user), "s1")
        app = make_app(service, user=lambda user=user: user)
        with TestClient(app) as client:
            assert client.get("/sessions/s1").status_code == 200


def test_the_app_of_a_router_is_the_only_one_it_shows(service: RedisSessionService) -> None:
    service.create_session("shop", "ann", "s9")
    with TestClient(make_app(service, app_name="shop"), headers=ANN) as client:
        assert [session["id"] for session in client.get("/sessions/").json()] == ["s9"]
        assert client.get("/sessions/s1").status_code == 404


@pytest.mark.parametrize("user", [None, "ann", 5, str])
def test_a_router_needs_somebody_who_says_who_asks(user: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"user= must be Depends"):
        session_router(RedisSessionService("memory://router-user"), user=user)


def test_the_schema_shows_messages_with_their_members(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    schemas = schema["components"]["schemas"]
    kinds = {"HumanMessage", "AIMessage", "SystemMessage", "ToolMessage"}
    assert kinds <= schemas.keys()
    assert {"tool_calls", "usage_metadata"} <= schemas["AIMessage"]["properties"].keys()
    members = schemas["Event"]["properties"]["message"]["anyOf"][0]["oneOf"]
    assert {f"#/components/schemas/{kind}" for kind in kinds} <= {each["$ref"] for each in members}
    follow = schema["paths"]["/sessions/{session_id}/follow"]["get"]
    assert "text/event-stream" in follow["responses"]["200"]["content"]
    names = {
        parameter["name"]
        for path in schema["paths"].values()
        for each in path.values()
        for parameter in each.get("parameters", ())
    }
    assert not names & {"user_id", "app_name"}


class Refusing(SessionCallbackHandler):
    def on_get_session_start(self, context: GetSessionContext) -> None:
        raise EventRejectedError("out of hours")


def test_a_hooks_veto_is_a_conflict(redis_url: str, key_prefix: str) -> None:
    service = RedisSessionService(redis_url, key_prefix=key_prefix, callbacks=[Refusing()])
    with service, TestClient(make_app(service), headers=ANN) as client:
        answer = client.get("/sessions/s1")
    assert (answer.status_code, answer.json()) == (409, {"detail": "out of hours"})


def test_where_redis_is_away_clients_are_told_when_to_come_back() -> None:
    service = RedisSessionService("redis://secret-host.invalid:1", extra_options={"retry": None})
    with TestClient(make_app(service), headers=ANN) as client:
        for method, path in [*ROUTES, ("GET", "/sessions/")]:
            answer = client.request(method, path, json={"n": 1})
            assert answer.status_code == 503, (method, path)
            assert int(answer.headers["retry-after"]) > 0
            assert "secret-host" not in answer.text
        service.close()
        assert client.get("/sessions/").status_code == 503


def test_error_handlers_for_what_is_no_app_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"must be a FastAPI app, not <fastapi\..*APIRouter"
    ):
        install_error_handlers(APIRouter())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BackendUnavailableError("redis://secret-host is away"), 503),
        (PersistError("the queue is full"), 503),
        (SessionNotFoundError("no session"), 404),
        (EventRejectedError("no"), 409),
        (BudgetExceededError("used up"), 429),
        (StateTooLargeError("too large"), 413),
        (ConfigurationError("a mistake of the app's"), 500),
        (HTTPException(418), 418),
    ],
)
def test_own_endpoints_answer_with_the_status_of_the_error(error: Exception, status: int) -> None:
    app = FastAPI()
    install_error_handlers(app)

    def fail() -> None:
        raise error

    app.get("/fail")(fail)
    app.get("/id")(lambda: str(SessionKey("shop", "", "s1")))
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/fail")
        assert answer.status_code == status
        assert ("retry-after" in answer.headers) == (status == 503)
        assert "secret-host" not in answer.text
        assert client.get("/id").status_code == 422


async def test_no_route_holds_up_the_loop(redis_url: str, key_prefix: str) -> None:
    async with RedisSessionService(redis_url, key_prefix=key_prefix) as service:
        talk = [HumanMessage("x" * 2000, id=f"m{number}") for number in range(300)]
        await service.aappend_messages(KEY, talk, create=True)
        transport = httpx.ASGITransport(app=make_app(service))
        asked = httpx.AsyncClient(transport=transport, base_url="http://test", headers=ANN)
        async with asked as client:
            with blockbuster.blockbuster_ctx("langchain_redis_session"):
                for method, path in [("GET", "/sessions/"), *ROUTES[:1], *ROUTES[3:6]]:
                    answer = await client.request(method, path, json={"n": 1})
                    assert answer.status_code < 500
                answer = await client.get("/sessions/s1", params={"limit": 300})
        assert len(answer.json()["events"]) == 300
        assert (
            TypeAdapter(list[Message]).validate_python(
                [event["message"] for event in answer.json()["events"]]
            )
            == talk
        )


def test_a_stream_that_redis_ends_says_so(key_prefix: str, cutting_proxy: CuttingProxy) -> None:
    class Leaving(SessionCallbackHandler):
        def on_get_session_end(self, context: GetSessionContext) -> None:
            if context.method == "get_events":  # the first look of those that follow
                cutting_proxy.refuse()

    through = RedisSessionService(
        cutting_proxy.url,
        key_prefix=key_prefix,
        callbacks=[Leaving()],
        extra_options={"retry": Retry(NoBackoff(), 0)},
    )
    through.append_messages(KEY, TALK, create=True)
    with TestClient(make_app(through, poll_s=0.01), headers=ANN) as client:
        text = client.get("/sessions/s1/follow?after=0").text
    *shown, last = text.replace("\r\n", "\n").strip().split("\n\n")
    assert len([each for each in shown if each.startswith("id: ")]) == len(TALK)
    assert last.split("\n") == [
        "event: error",
        'data: {"status_code": 503, "message": "sessions can\'t be reached now"}',
        "retry: 5000",
    ]
