"""Random operations against a plain Python model, with TTLs, on a real server."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_session import Event, RedisSessionService, SessionKey, SessionNotFoundError
from tests.effort import examples
from tests.servers import RedisServer

EVENT_LIMIT, TRACK_LIMIT = 6, 3
USERS = ["u", "u:1", "u*"]
SESSIONS = ["s", "1:s", "{s}"]
users, sessions = st.sampled_from(USERS), st.sampled_from(SESSIONS)
names = st.sampled_from(["a", "b", "user:a", "user:b", "app:a", "temp:a"])
values = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
states = st.dictionaries(names, values, max_size=3)


class SessionModel:
    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.texts: list[str] = []
        self.ids: list[str | None] = []
        self.requests: list[str] = []
        self.tracks: dict[str, list[int]] = {}


class Machine(RuleBasedStateMachine):
    url: str
    field_ttl: bool | None

    @initialize(hash_tag=st.sampled_from(["app", "user"]))
    def start(self, hash_tag: Any) -> None:
        self.prefix = f"m{uuid4().hex[:10]}"
        self.service = RedisSessionService(
            self.url,
            key_prefix=self.prefix,
            hash_tag=hash_tag,
            session_event_limit=EVENT_LIMIT,
            track_event_limit=TRACK_LIMIT,
            session_ttl=1000,
            user_state_ttl=2000,
            app_state_ttl=3000,
            per_field_ttl=self.field_ttl,
        )
        self.sessions: dict[SessionKey, SessionModel] = {}
        self.user_state: dict[str, dict[str, Any]] = {user: {} for user in USERS}
        self.app_state: dict[str, Any] = {}
        self.number = 0

    def apply_state(self, key: SessionKey, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if name.startswith("app:"):
                self.app_state[name[4:]] = value
            elif name.startswith("user:"):
                self.user_state[key.user_id][name[5:]] = value
            elif not name.startswith("temp:"):
                self.sessions[key].state[name] = value

    @rule(user=users, session=sessions, state=states)
    def create(self, user: str, session: str, state: dict[str, Any]) -> None:
        key = SessionKey("app", user, session)
        self.service.create_session("app", user, session, state=state)
        if key not in self.sessions:
            self.sessions[key] = SessionModel()
            self.apply_state(key, state)

    @rule(
        user=users,
        session=sessions,
        ids=st.lists(st.none() | st.sampled_from("xyz"), max_size=4),
        state=states,
        create=st.booleans(),
        once=st.booleans(),
        is_turn=st.booleans(),
        request_id=st.sampled_from(["", "r1", "r2"]),
    )
    def append(
        self,
        user: str,
        session: str,
        ids: list[str | None],
        state: dict[str, Any],
        create: bool,
        once: bool,
        is_turn: bool,
        request_id: str,
    ) -> None:
        key = SessionKey("app", user, session)
        texts = []
        for _ in ids:
            self.number += 1
            texts.append(str(self.number))
        messages = [
            (HumanMessage if is_turn and not place else AIMessage)(text, id=message_id)
            for place, (text, message_id) in enumerate(zip(texts, ids, strict=True))
        ]
        events = [Event(message, request_id=request_id) for message in messages]
        if not once:
            if not events:
                return
            events[-1].state_delta = state
            if create:
                self.service.create_session("app", user, session)
                self.sessions.setdefault(key, SessionModel())
            elif key not in self.sessions:
                with pytest.raises(SessionNotFoundError):
                    self.service.append_events(key, events)
                return
            for _ in range(2):  # what is sent again is stored once
                self.service.append_events(key, events)
        elif key in self.sessions or create:
            self.service.append_messages(
                key, messages, request_id=request_id, once=True, create=create
            )
            if not messages:
                return
        else:
            return
        model = self.sessions.setdefault(key, SessionModel())
        known, is_full = set(model.ids) - {None}, len(model.texts) >= EVENT_LIMIT
        last_known = max((i for i, name in enumerate(ids) if name in known), default=-1)
        sent: set[str] = set()
        for place, (text, message_id) in enumerate(zip(texts, ids, strict=True)):
            if once and message_id is not None:
                is_repeated = message_id in known | sent
                # What a full session no longer has was removed, if what follows it is there.
                was_removed = is_full and place <= last_known
                sent.add(message_id)
                if is_repeated or was_removed:
                    continue
            model.texts.append(text)
            model.ids.append(message_id)
        if not once:
            self.apply_state(key, state)
        model.texts, model.ids = model.texts[-EVENT_LIMIT:], model.ids[-EVENT_LIMIT:]

    @rule(user=users, session=sessions, state=states)
    def update_session_state(self, user: str, session: str, state: dict[str, Any]) -> None:
        key = SessionKey("app", user, session)
        if key in self.sessions:
            self.service.update_session_state(key, state)
            self.apply_state(key, state)

    @rule(user=users, session=sessions, name=st.sampled_from("ab"))
    def delete_session_state(self, user: str, session: str, name: str) -> None:
        key = SessionKey("app", user, session)
        if key in self.sessions:
            self.service.delete_session_state(key, name)
            self.sessions[key].state.pop(name, None)

    @rule(user=users, state=st.dictionaries(st.sampled_from("ab"), values))
    def update_shared_state(self, user: str, state: dict[str, Any]) -> None:
        self.service.update_user_state("app", user, state)
        self.service.update_app_state("app", state)
        self.user_state[user].update(state)
        self.app_state.update(state)

    @rule(user=users, name=st.sampled_from("ab"))
    def delete_shared_state(self, user: str, name: str) -> None:
        self.service.delete_user_state("app", user, name)
        self.service.delete_app_state("app", name)
        self.user_state[user].pop(name, None)
        self.app_state.pop(name, None)

    @rule(user=users, session=sessions, track=st.sampled_from(["t", "t:1"]))
    def append_track_event(self, user: str, session: str, track: str) -> None:
        key = SessionKey("app", user, session)
        self.number += 1
        if key not in self.sessions:
            with pytest.raises(SessionNotFoundError):
                self.service.append_track_event(key, track, self.number)
            return
        self.service.append_track_event(key, track, self.number)
        payloads = self.sessions[key].tracks.setdefault(track, [])
        payloads.append(self.number)
        del payloads[:-TRACK_LIMIT]

    @rule(user=users, session=sessions)
    def clear(self, user: str, session: str) -> None:
        key = SessionKey("app", user, session)
        self.service.clear_events(key)
        if key in self.sessions:
            self.sessions[key].texts, self.sessions[key].ids = [], []

    @rule(user=users, session=sessions, count=st.integers(0, 2))
    def trim(self, user: str, session: str, count: int) -> None:
        key = SessionKey("app", user, session)
        removed = self.service.trim_conversations(key, count=count)
        if key in self.sessions:
            model = self.sessions[key]
            gone = {str(event.message.content) for event in removed if event.message}
            assert gone <= set(model.texts)
            pairs = [p for p in zip(model.texts, model.ids, strict=True) if p[0] not in gone]
            model.texts, model.ids = [t for t, _ in pairs], [i for _, i in pairs]
        else:
            assert removed == []

    @rule(user=users, session=sessions)
    def delete_session(self, user: str, session: str) -> None:
        key = SessionKey("app", user, session)
        assert self.service.delete_session(key) == (self.sessions.pop(key, None) is not None)

    @rule(user=users)
    def delete_user(self, user: str) -> None:
        gone = [key for key in self.sessions if key.user_id == user]
        assert self.service.delete_user("app", user).sessions == len(gone)
        for key in gone:
            del self.sessions[key]
        self.user_state[user] = {}

    @invariant()
    def contents_are_equal(self) -> None:
        if not hasattr(self, "service"):
            return
        for user in USERS:
            listed = {session.key for session in self.service.list_sessions("app", user)}
            assert listed == {key for key in self.sessions if key.user_id == user}
            assert self.service.get_user_state("app", user) == self.user_state[user]
        assert self.service.get_app_state("app") == self.app_state
        for key, model in self.sessions.items():
            session = self.service.get_session(key)
            assert session is not None
            assert [event.message.content for event in session.events if event.message] == (
                model.texts
            )
            own = {n: v for n, v in session.state.items() if not n.startswith(("app:", "user:"))}
            assert own == model.state
            assert session.tracks == tuple(model.tracks)
            for track, payloads in model.tracks.items():
                read = self.service.get_track_events(key, track)
                assert [event.payload for event in read] == payloads

    @invariant()
    def every_key_has_its_ttl(self) -> None:
        if not hasattr(self, "service"):
            return
        client = redis.Redis.from_url(self.url)
        most = {"appstate": 3000, "userstate": 2000, "erased": 30 * 24 * 3600}
        for key in client.scan_iter(match=f"{self.prefix}:*"):
            kind = key.decode().split(":")[1]
            assert 0 < client.pttl(key) <= most.get(kind, 1000) * 1000, key

    def teardown(self) -> None:
        if hasattr(self, "service"):
            client = redis.Redis.from_url(self.url)
            keys = list(client.scan_iter(match=f"{self.prefix}:*"))
            if keys:
                client.unlink(*keys)
            self.service.close()


@pytest.mark.parametrize("server", ["redis_server", "field_ttl_redis_server"])
def test_random_operations_equal_a_model(server: str, request: pytest.FixtureRequest) -> None:
    running: RedisServer = request.getfixturevalue(server)

    class OnServer(Machine):
        url = running.url
        field_ttl = None

    run_state_machine_as_test(
        OnServer,
        settings=settings(
            examples(60), stateful_step_count=25, suppress_health_check=list(HealthCheck)
        ),
    )
