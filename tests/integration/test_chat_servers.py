"""The demo's chat servers over real HTTP: two workers, many users, and what goes wrong.

Each is started twice, which takes longer than all that it is asked; so one test goes through all.
`pytest -s` prints what was asked, and the statuses.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from langchain_redis_session import RedisSessionService, SessionKey
from tests.integration.chat_apps import ChatApp, FastApiChat, LangServeChat, headers_of
from tests.servers import RedisServer, ServerBinary
from tests.waits import wait_until

USERS = [f"user-{number}" for number in range(20)]
ROUTES = [("GET", ""), ("DELETE", ""), ("POST", "/clear"), ("GET", "/state"), ("GET", "/follow")]


class Statuses:
    """What was asked, and the statuses of the answers."""

    def __init__(self, app: ChatApp) -> None:
        self._app = app
        print(f"\n| {app.module}: what a client asks | status |\n| --- | --- |")

    def expect(self, status: int, what: str, *, user: str = "ann", **asked: Any) -> httpx.Response:
        method = asked.pop("method", "POST")
        with self._app.client(user) as client:
            if not user:
                client.headers.pop("authorization")
            answer = client.request(method, **asked)
        print(f"| {what} | {answer.status_code} |")
        assert answer.status_code == status, (what, answer.text)
        return answer


async def many_users_at_once(app: ChatApp, service: RedisSessionService) -> None:
    async def talk(user: str) -> list[str]:
        return [await app.ask(user, "s1", text) for text in (f"I am {user}", "and still")]

    for user, said in zip(USERS, await asyncio.gather(*map(talk, USERS)), strict=True):
        assert said == [f"You said: I am {user}.", f"You said: I am {user}; and still."]
        assert await service.acount_events(SessionKey("default", user, "s1")) == 4


async def reload_and_follow(app: ChatApp) -> None:
    await app.ask("eve", "s1", "before")
    async with app.aclient("eve") as client:
        (shown,) = (await client.get("/sessions/")).json()
        assert (shown["id"], shown["title"], shown["event_count"]) == ("s1", "before", 2)
        events = (await client.get("/sessions/s1")).json()["events"]
        assert [event["message"]["type"] for event in events] == ["human", "ai"]
        after = repr(events[-1]["score"])
        headers: dict[str, str] = {}
        for text in ("again", "and again"):
            follow = client.stream(
                "GET", "/sessions/s1/follow", params={"after": after}, headers=headers
            )
            async with follow as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                asking = asyncio.ensure_future(app.ask("eve", "s1", text))
                seen = []
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        seen.append(json.loads(line[6:])["message"]["content"])
                    if line.startswith("id: "):
                        headers["last-event-id"] = line[4:]  # as a browser sends it
                    if len(seen) == 2 and not line:
                        break
            assert seen == [text, await asking]


def what_is_refused(app: ChatApp, service: RedisSessionService, statuses: Statuses) -> None:
    key = SessionKey("default", USERS[0], "s1")
    before = service.get_session(key)
    for method, path in ROUTES:
        what = f"{method} another's session{path}"
        statuses.expect(404, what, user="mallory", method=method, url=f"/sessions/s1{path}")
    statuses.expect(
        200,
        "to talk in a session whose id another has",
        user="mallory",
        **app.request("s1", "whose?", user_id=USERS[0]),
    )
    assert service.get_session(key) == before
    statuses.expect(
        200,
        "a session as somebody else",
        user="mallory",
        method="GET",
        url=f"/sessions/s1?user_id={USERS[0]}",
    )
    statuses.expect(401, "to talk without a token", user="", **app.request("s1", "hi"))
    statuses.expect(401, "its sessions without a token", user="", method="GET", url="/sessions/")
    statuses.expect(422, "to talk in a session with 600 bytes", **app.request("x" * 600, "hi"))
    no_session = 422 if isinstance(app, LangServeChat) else 404
    statuses.expect(no_session, "to talk in no session", **app.request(None, "hi"))
    statuses.expect(422, "a session with 600 bytes", method="GET", url=f"/sessions/{'x' * 600}")
    statuses.expect(404, "a session that is not there", method="GET", url="/sessions/nothing")
    statuses.expect(422, "-1 sessions", method="GET", url="/sessions/?limit=-1")
    statuses.expect(422, "to talk with a body that is none", **{**app.request("s1", ""), "json": 5})
    assert service.list_sessions("default", "ann") == []


async def leave_in_mid_stream(app: ChatApp, service: RedisSessionService) -> None:
    key = SessionKey("default", "lea", "s1")
    async with (
        app.aclient("lea") as client,
        client.stream("POST", **app.request("s1", "say it slowly")) as response,
    ):
        count = 0
        async for line in response.aiter_lines():
            count += line.startswith("data: ")
            if count == 4:
                break
    await asyncio.to_thread(
        wait_until, lambda: [event.tag for event in service.get_events(key)] == ["", "interrupted"]
    )
    partial = service.get_messages(key)[-1].text
    assert partial.startswith("You said:")
    assert partial.count(" and") < 100
    assert await app.ask("lea", "s1", "so?") == "You said: say it slowly; so?."


def stop_and_start(app: ChatApp, service: RedisSessionService, redis: RedisServer) -> None:
    app.stop()
    service.close()
    with redis.client() as client:
        # Only who asks is left, as soon as the test's loop has closed its async client.
        wait_until(lambda: len(client.client_list()) == 1)
    app.start()


def lose_redis(app: ChatApp, redis: RedisServer, statuses: Statuses) -> None:
    asked: list[tuple[str, dict[str, Any]]] = [
        ("to talk", app.request("s1", "are you there?")),
        ("its sessions", {"method": "GET", "url": "/sessions/"}),
        ("a session", {"method": "GET", "url": "/sessions/s1"}),
        ("to follow a session", {"method": "GET", "url": "/sessions/s1/follow"}),
        ("to set state", {"method": "PATCH", "url": "/sessions/s1/state", "json": {"n": 1}}),
    ]
    if isinstance(app, LangServeChat):
        invoke = {**app.request("s1", "are you there?"), "url": "/chat/invoke"}
        asked.append(("to talk, invoke", invoke))
    redis.stop()
    for what, request in asked:
        answer = statuses.expect(503, f"Redis stopped: {what}", user=USERS[0], **request)
        assert int(answer.headers["retry-after"]) > 0
        assert str(redis.port) not in answer.text
    redis.start()
    statuses.expect(200, "Redis back: its sessions", method="GET", url="/sessions/")


@pytest.mark.parametrize("kind", [FastApiChat, LangServeChat])
async def test_a_chat_server_keeps_every_users_sessions_apart_and_whole(
    kind: type[ChatApp], redis_binary: ServerBinary
) -> None:
    with RedisServer(redis_binary, ["--appendonly", "yes"]) as redis, kind(redis) as app:
        statuses = Statuses(app)
        with RedisSessionService(redis.url) as service:
            await many_users_at_once(app, service)
            await reload_and_follow(app)
            await asyncio.to_thread(what_is_refused, app, service, statuses)
            await leave_in_mid_stream(app, service)
            await asyncio.to_thread(stop_and_start, app, service, redis)
        user = USERS[0]
        again = f"You said: I am {user}; and still; after a restart."
        assert await app.ask(user, "s1", "after a restart") == again
        await asyncio.to_thread(lose_redis, app, redis, statuses)
        assert await app.ask(user, "s1", "back") == f"{again[:-1]}; back."
        if kind is LangServeChat:
            with app.client(user) as client:
                assert client.get("/chat/playground/").status_code == 200
        app.stop()
        with redis.client() as client:
            assert len(client.client_list()) == 1
    assert "Warning" not in app.errors, app.errors
    assert "Traceback" not in app.errors, app.errors


def test_without_the_modifier_clients_would_choose_their_user() -> None:
    """Why `config_keys=["configurable"]` is not enough."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from langchain_core.language_models import FakeListChatModel
    from langserve import add_routes

    from langchain_redis_session import with_session

    service = RedisSessionService("memory://chosen-users")
    app = FastAPI()
    chain = with_session(FakeListChatModel(responses=["hello"]), service)
    add_routes(app, chain, path="/chat", config_keys=["configurable"])
    with TestClient(app, headers=headers_of("mallory")) as client:
        body = LangServeChat.request(None, "s1", "hi", user_id="ann")["json"]  # type: ignore[arg-type]
        answer = client.post("/chat/invoke", json={**body, "input": "hi"})
        assert answer.status_code == 200
    assert service.count_events(SessionKey("default", "ann", "s1")) == 2
