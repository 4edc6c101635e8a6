"""`make demo`: two people talk to a travel desk, which remembers them in Redis.

The model is a script: it knows only what the prompt shows it, so whatever it remembers,
it has from the session. `REDIS_URL` says which server; without it all is in memory.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable
from langchain_core.tools import tool

from langchain_redis_session import (
    RedisSessionChatMessageHistory,
    RedisSessionError,
    RedisSessionMiddleware,
    RedisSessionService,
    Session,
    SessionKey,
    SummaryRequest,
)
from langchain_redis_session._connections.addresses import parse_address
from langchain_redis_session._flow.drivers import run
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._keys.zset import Keyspace
from langchain_redis_session.connections import open_connections

APP = "travel"
PREFIX = "demo"
HOUR = 3600
ANN, BOB = SessionKey(APP, "ann", "trip"), SessionKey(APP, "bob", "trip")
ANN_AGAIN = SessionKey(APP, "ann", "another-day")
CORA = SessionKey(APP, "cora", "trip")
TRACK = "tools"

IN_MEMORY = "memory://demo"
INSTALL = "pip install 'langchain-redis-session[cli,embedded]'"


# The chain: a prompt, and a model that is a script.


@tool
def forecast(city: str, day: str) -> str:
    """Tell the weather in a city."""
    return json.dumps({"sky": "rainy" if city == "Oslo" else "sunny", "degrees": 24})


class TravelDesk(BaseChatModel):
    """Answers by rule from the messages it is given, and from nothing else."""

    @property
    def _llm_type(self) -> str:
        return "travel-desk"

    def bind_tools(self, *_: Any, **__: Any) -> Runnable[Any, AIMessage]:
        """Take an agent's tools: it knows the one there is."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=_answer(messages))])


def _answer(messages: list[BaseMessage]) -> AIMessage:
    rules = str(messages[0].content)
    said = [str(message.content) for message in messages if isinstance(message, HumanMessage)]
    name = _find(r"name is (\w+)", rules) or _find(r"(?:I'm|It's) ([A-Z]\w+)", *said)
    city = _find(r"going to ([A-Z]\w+)", *said)
    day = _find(r"on (\w+day)", *said)
    results = [str(message.content) for message in messages if isinstance(message, ToolMessage)]
    weather = json.loads(results[-1]) if results else None
    question = said[-1]

    if isinstance(messages[-1], ToolMessage) and weather:
        units = _find(r"degrees in (\S+)[.]", rules)
        sky = weather["sky"].capitalize()
        return AIMessage(f"{sky}, {weather['degrees']} {units}, in {city} on {day}.")
    if "weather" in question:
        call = {"name": "forecast", "args": {"city": city, "day": day}, "id": f"call-{len(said)}"}
        return AIMessage("", tool_calls=[call])
    if "pack" in question and weather:
        item = "Sunglasses" if weather["sky"] == "sunny" else "An umbrella"
        return AIMessage(f"{item}, {name}: it will be {weather['sky']} in {city}.")
    if "who am I" in question and weather:
        trip = f"you are going to {city} on {day}, and it will be {weather['sky']}"
        return AIMessage(f"You are {name}, {trip}.")
    if "Ann" in question and name != "Ann":
        return AIMessage(f"That I don't know, {name}. I only know of your trip, to {city}.")
    if city:
        return AIMessage(f"Hello {name}! {city} on {day}: a good choice.")
    return AIMessage(f"Hello {name or 'stranger'}! Where are you going this time?")


def _find(pattern: str, *texts: str) -> str:
    return next((match[1] for text in texts if (match := re.search(pattern, text))), "")


PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "You are a travel desk. Tell degrees in {units}. The user's name is {name}."),
        MessagesPlaceholder("history"),
        MessagesPlaceholder("turn"),
    ]
)
CHAIN = PROMPT | TravelDesk()


# A turn of a conversation: read the history, run the chain with its tools, write the turn.


def take_turn(service: RedisSessionService, key: SessionKey, text: str) -> list[BaseMessage]:
    """Say something in a session, and give what was said in turn, question included."""
    session = service.create_session(key.app_name, key.user_id, key.session_id)
    history = RedisSessionChatMessageHistory(
        key.session_id, app_name=key.app_name, user_id=key.user_id, service=service
    )
    context = {
        "history": history.messages,
        "units": session.state.get("app:units", "°C"),
        "name": session.state.get("user:name", "…"),
    }
    turn: list[BaseMessage] = [HumanMessage(text)]
    reply = CHAIN.invoke({**context, "turn": turn})
    while reply.tool_calls:
        turn.append(reply)
        for call in reply.tool_calls:
            turn.append(forecast.invoke(call))
            seen = {"tool": call["name"], **call["args"], "gave": json.loads(turn[-1].text)}
            service.append_track_event(key, TRACK, seen)
        reply = CHAIN.invoke({**context, "turn": turn})
    turn.append(reply)
    history.add_messages(turn)
    return turn


# The same with an agent: its memory is one line.


def ask_agent(service: RedisSessionService, key: SessionKey, text: str) -> list[BaseMessage]:
    """Ask a new agent in a session; gives what was said in turn, question included."""
    from langchain.agents import create_agent

    agent: Any = create_agent(
        TravelDesk(),
        [forecast],
        system_prompt="You are a travel desk. Tell degrees in °C. The user's name is ….",
        middleware=[RedisSessionMiddleware(service, app_name=key.app_name)],
    )
    config = {"configurable": {"user_id": key.user_id, "thread_id": key.session_id}}
    said: list[BaseMessage] = agent.invoke({"messages": [("human", text)]}, config)["messages"]
    return said


def summarize(request: SummaryRequest) -> str:
    """Condense a conversation, by rule as all here; a chat model would do as well."""
    said = [message.text for message in request.messages]
    name, city = _find(r"I'm (\w+)", *said), _find(r"going to ([A-Z]\w+)", *said)
    day, sky = _find(r"on (\w+day)", *said), _find(r'"sky": "(\w+)"', *said)
    return f"{name} is going to {city} on {day}, where it will be {sky}."


def open_service(url: str) -> RedisSessionService:
    """Open the demo's service: a prefix of its own, and nothing lives longer than an hour."""
    return RedisSessionService(
        url,
        key_prefix=PREFIX,
        session_ttl=HOUR,
        user_state_ttl=HOUR,
        app_state_ttl=HOUR,
        summarizer=summarize,
        auto_summarize=False,
    )


# What is shown


class Screen:
    """The terminal. All of rich is used here, as it comes with an extra."""

    def __init__(self) -> None:
        from rich.console import Console

        if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal of few characters
            sys.stdout.reconfigure(errors="replace")
        self._console = Console(highlight=False)

    def title(self, text: str) -> None:
        """Begin a part."""
        self._console.rule(f"[bold]{text}", align="left", style="dim")
        self._console.print()

    def note(self, text: str) -> None:
        """Say something about what is to be seen."""
        from rich.text import Text

        self._console.print(Text(text, style="dim"))

    def turn(self, key: SessionKey, turn: Iterable[BaseMessage]) -> None:
        """Show what was said."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=8, justify="right")
        grid.add_column(overflow="fold")
        for message in turn:
            who = key.user_id if message.type == "human" else _role(message)
            grid.add_row(Text(who, style=_COLOURS[message.type]), Text(_say(message)))
        self._console.print(grid)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Show a table; a column whose name starts with ">" is set to the right."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        if title:
            self._console.print(Text(title, style="bold"))
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="dim")
        for column in columns:
            justify = "right" if column.startswith(">") else "left"
            table.add_column(column.lstrip(">"), justify=justify, overflow="fold")  # type: ignore[arg-type]
        for row in rows:
            table.add_row(*(Text(str(cell)) for cell in row))
        self._console.print(table)
        self._console.print()


_COLOURS = {"human": "bold blue", "ai": "bold green", "tool": "yellow"}


def _role(message: BaseMessage) -> str:
    return "tool" if message.type == "tool" else "desk"


def _say(message: BaseMessage) -> str:
    if isinstance(message, AIMessage) and message.tool_calls:
        calls = [f"{call['name']}({_list(call['args'])})" for call in message.tool_calls]
        return "calls " + ", ".join(calls)
    return message.text


def _list(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def talk(screen: Screen, service: RedisSessionService) -> None:
    """Part one: two users, one of whom asks for what needs a tool."""
    service.update_app_state(APP, {"units": "°C"})
    for key, name, destination, texts in (
        (
            ANN,
            "Ann",
            "Lisbon",
            (
                "Hi, I'm Ann, and I'm going to Lisbon on Friday.",
                "What will the weather be like?",
                "What shall I pack, then?",
            ),
        ),
        (
            BOB,
            "Bob",
            "Oslo",
            ("It's Bob. I'm going to Oslo on Monday.", "And where is Ann going?"),
        ),
    ):
        for text in texts:
            screen.turn(key, take_turn(service, key, text))
            service.update_session_state(key, {"user:name": name, "destination": destination})
        screen.note("")


def resume(screen: Screen, service: RedisSessionService) -> None:
    """Part two, after a restart: go on with Ann's session, and begin another one."""
    screen.turn(ANN, take_turn(service, ANN, "Sorry, who am I, and where was I going?"))
    screen.note("")
    screen.note("And in a new session: only her name is known, which is in her user state.")
    screen.turn(ANN_AGAIN, take_turn(service, ANN_AGAIN, "Hello, it's me again."))
    screen.note("")


def ask_agents(screen: Screen, service: RedisSessionService) -> None:
    """Part three: an agent, made anew for each question."""
    for text in (
        "Hi, I'm Cora, and I'm going to Oslo on Monday.",
        "What will the weather be like?",
        "What shall I pack, then?",
    ):
        screen.turn(CORA, ask_agent(service, CORA, text))
    screen.note("")


def show_sessions(screen: Screen, service: RedisSessionService) -> None:
    """Part four: what a service that has seen nothing finds."""
    session = service.get_session(ANN)
    if session is not None:
        screen.table(
            f"Session {_name(ANN)}: {len(session.events)} events",
            (">#", "time (UTC)", "author", "message"),
            (
                (number, f"{event.timestamp:%H:%M:%S}", _author(event.author, message), text)
                for number, event in enumerate(session.events, 1)
                if (message := event.message) is not None and (text := _say(message))
            ),
        )
        screen.table(
            f"Track “{TRACK}” of {_name(ANN)}",
            ("time (UTC)", "payload"),
            (
                (f"{event.timestamp:%H:%M:%S}", json.dumps(event.payload))
                for event in service.get_track_events(ANN, TRACK)
            ),
        )
        summary = service.create_summary(ANN, force=True)
        screen.table(
            f"Summary of {_name(ANN)}, made now",
            (">messages", "summary"),
            [(len(session.messages), summary.text)] if summary else [],
        )
    sessions = [
        session
        for user in service.list_users(APP)
        for session in service.list_sessions(APP, user, include_events=True)
    ]
    screen.table(
        "Sessions, each user's latest first",
        ("user", "session", ">messages", "tracks", "updated (UTC)"),
        (
            (
                session.key.user_id,
                session.key.session_id,
                len(session.messages),
                ", ".join(session.tracks) or "–",
                f"{session.updated_at:%H:%M:%S}",
            )
            for session in sessions
        ),
    )
    screen.table("State", ("scope", "of", "name", "value"), _state_rows(sessions))


def _author(author: str, message: BaseMessage) -> str:
    return author or message.name or message.type


def _name(key: SessionKey) -> str:
    return f"{key.user_id}/{key.session_id}"


def _state_rows(sessions: Iterable[Session]) -> Iterable[Sequence[object]]:
    rows: dict[tuple[str, str, str], str] = {}
    for session in sessions:
        of = {"app": session.key.app_name, "user": session.key.user_id}
        for full_name, value in session.state.items():
            scope, _, name = full_name.rpartition(":")
            whose = of.get(scope) or _name(session.key)
            rows[scope or "session", whose, name] = json.dumps(value, ensure_ascii=False)
    return [(*row, value) for row, value in sorted(rows.items())]


def show_keys(screen: Screen, url: str) -> None:
    """Part five: what stands in Redis."""
    keyspace = Keyspace(PREFIX)
    names = set()
    for key in (ANN, ANN_AGAIN, BOB):
        keys = keyspace.session(key)
        names |= {keys.app_state, keys.user_state, keys.sessions, keys.summaries}
        names |= {keys.events, keys.message_index, keys.track_index, keys.track(TRACK)}
    connections = open_connections(url, None, None, None, {})
    try:
        rows = run(_read_keys(sorted(names)), connections.exchanges())
    finally:
        connections.close()
    screen.table("", ("key", "type", ">entries", ">bytes in them", ">TTL"), rows)


_READ_ALL: dict[bytes, tuple[str, tuple[int, ...]]] = {
    b"hash": ("HGETALL", ()),
    b"set": ("SMEMBERS", ()),
    b"zset": ("ZRANGE", (0, -1)),
}


def _read_keys(names: Sequence[bytes]) -> Flow[list[Sequence[object]]]:
    types = yield [("TYPE", name) for name in names]
    found = [(name, kind) for name, kind in zip(names, types, strict=True) if kind in _READ_ALL]
    contents = yield [(_READ_ALL[kind][0], name, *_READ_ALL[kind][1]) for name, kind in found]
    ttls = yield [("TTL", name) for name, _ in found]
    rows: list[Sequence[object]] = []
    for (name, kind), content, ttl in zip(found, contents, ttls, strict=True):
        parts = [*content, *content.values()] if isinstance(content, dict) else content
        shown_ttl = "none" if ttl < 0 else f"{ttl // 60} min {ttl % 60:02} s"
        size = sum(map(len, parts))
        rows.append((name.decode(), kind.decode(), len(content), f"{size:,}", shown_ttl))
    return rows


def run_demo(screen: Screen, url: str) -> int:
    """Run all parts; gives the exit code."""
    in_memory = url.startswith("memory://")
    with open_service(url) as service:
        service.ping()
        for key in (ANN, BOB, CORA):
            service.delete_user(key.app_name, key.user_id)
        screen.title("1. Two people talk to a travel desk")
        talk(screen, service)
    if in_memory:
        screen.title("2. The same sessions, in a new service")
        with open_service(url) as service:
            resume(screen, service)
    else:
        screen.title("2. The same sessions, in a new process")
        sys.stdout.flush()
        command = [sys.executable, "-m", "demo.travel_desk", "--resume"]
        if code := subprocess.run(command, check=False).returncode:
            return code
    screen.title("3. An agent, made anew for each question")
    with open_service(url) as service:
        ask_agents(screen, service)
    screen.title("4. What was kept")
    with open_service(url) as service:
        show_sessions(screen, service)
    screen.title("5. The keys in Redis")
    show_keys(screen, url)
    if in_memory:
        screen.note("All of this was in memory and is gone now. On a server, across two processes:")
        screen.note("  make demo REDIS_URL=redis://localhost:6379")
    else:
        screen.note(f"They stay on {parse_address(url)} for an hour, or until the next demo.")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo, or the part of it that another process is for; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.travel_desk")
    parser.description = "Show sessions at work, on REDIS_URL or else in memory."
    parser.add_argument("--resume", action="store_true", help="only what comes after a restart")
    options = parser.parse_args(arguments)
    url = os.environ.get("REDIS_URL") or IN_MEMORY
    try:
        screen = Screen()
    except ImportError:
        return _fail(f"it needs rich: {INSTALL}")
    try:
        if not options.resume:
            return run_demo(screen, url)
        with open_service(url) as service:
            screen.note(f"Process {os.getpid()} knows only the server's address.")
            resume(screen, service)
    except RedisSessionError as error:
        return _fail(str(error))
    return 0


def _fail(reason: str) -> int:
    print(f"demo: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
