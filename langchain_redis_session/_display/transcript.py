"""A session as a readable transcript, for Jupyter.

The HTML stands on its own: inline styles only, so nothing leaks into the page; no scripts,
links or images, so nothing is run or loaded; colours that go with light and dark themes.
Whatever a session holds is text here: only `element` makes markup, and it escapes.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_session._display.markup import Markup, Part, element
from langchain_redis_session._display.shown import ShownEvent, ShownSession, ShownSummary
from langchain_redis_session._times import to_datetime

MOST_EVENTS = 200
"""So many events are shown, the newest: a page has to stay a page."""
LONG_TEXT = 2_000
LONG_RESULT = 400
LONG_VALUE = 300
MOST_TEXT = 50_000

_GREY = "rgba(128,128,128,.35)"
_ROLE_COLOURS = {
    "user": "#2563eb",
    "assistant": "#15803d",
    "tool": "#a84b0b",
    "system": "#7c3aed",
    "": "#5b6472",
}
_WRAP = "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;"
_BADGE = (
    "display:inline-block;min-width:5.4em;padding:0 .5em;border-radius:.8em;text-align:center;"
    "font-size:.85em;font-weight:600;line-height:1.6;color:#fff;background:"
)
_CELL = (
    "padding:.15em 1em .15em 0;border:0;background:none;text-align:left;vertical-align:top;"
    "font-size:inherit;color:inherit;max-width:none;"
)
STYLES: dict[str, str] = {
    "box": (
        f"max-width:62em;margin:.3em 0;border:1px solid {_GREY};border-radius:.5em;"
        "overflow:hidden;font-family:var(--jp-ui-font-family,system-ui,sans-serif);"
        "font-size:13px;line-height:1.5;text-align:left;color:inherit"
    ),
    "head": f"padding:.6em 1em;background:rgba(128,128,128,.1);border-bottom:1px solid {_GREY}",
    "title": "font-size:1.15em;font-weight:600;overflow-wrap:anywhere;unicode-bidi:isolate",
    "dim": "opacity:.72;overflow-wrap:anywhere;unicode-bidi:isolate",
    "gap": "margin-left:.75em;opacity:.72;overflow-wrap:anywhere;unicode-bidi:isolate",
    "strong": "font-weight:600;overflow-wrap:anywhere;unicode-bidi:isolate",
    "error": "margin-left:.75em;padding:0 .5em;border-radius:.8em;color:#fff;background:#c81e1e",
    "section": f"padding:.6em 1em;border-top:1px solid {_GREY}",
    "note": "padding:.25em 1em .25em 1.14em;font-size:.92em;opacity:.72;overflow-wrap:anywhere",
    "row": "padding:.15em 0",
    "picture": "padding:.2em 0 .4em;overflow-x:auto",
    "end": "float:right;margin-left:1em;font-size:.92em;opacity:.72",
    "note end": "float:right;margin-left:1em",
    "text": f"margin:.25em 0 0;text-align:start;{_WRAP}",
    "fold": "margin:.3em 0 0",
    "summary": "display:list-item;cursor:pointer;overflow-wrap:anywhere",
    "pre": (
        f"margin:.3em 0 0;padding:.5em .75em;max-height:24em;overflow:auto;{_WRAP}border:0;"
        "border-radius:.3em;background:rgba(128,128,128,.12);color:inherit;font-size:.92em;"
        "line-height:1.45;font-family:var(--jp-code-font-family,ui-monospace,monospace)"
    ),
    "code": (
        f"{_WRAP}background:none;padding:0;color:inherit;font-size:.92em;"
        "font-family:var(--jp-code-font-family,ui-monospace,monospace)"
    ),
    "media": (
        "display:inline-block;margin:.35em .5em 0 0;padding:.25em .75em;border-radius:.3em;"
        f"border:1px dashed {_GREY};overflow-wrap:anywhere;unicode-bidi:isolate"
    ),
    "table": "margin:.2em 0 0;border:0;border-collapse:collapse;font-size:inherit;color:inherit",
    "line": "background:none",
    "name": f"{_CELL}white-space:nowrap",
    "cell": _CELL,
    **{f"badge {role}": _BADGE + colour for role, colour in _ROLE_COLOURS.items()},
    **{
        f"message {role}": f"margin:.6em 0;padding:0 1em 0 .8em;border-left:.25em solid {colour}"
        for role, colour in _ROLE_COLOURS.items()
    },
}
"""Every value that a `style` attribute can have."""

_SIZES = ((1_000_000, "MB"), (1_000, "kB"))
_REASONING = {"reasoning": "reasoning", "thinking": "thinking"}
_MEDIA = {
    "audio",
    "document",
    "file",
    "image",
    "image_url",
    "input_audio",
    "input_file",
    "input_image",
    "media",
    "text-plain",
    "video",
    "video_url",
}


def tag(name: str, style: str, *parts: Part, **attributes: str) -> Markup:
    """Make an element of one of the styles."""
    return element(name, *parts, style=STYLES[style], **attributes)


def render_session(session: ShownSession) -> str:
    """Give a session as HTML: who and when, the events, the state, the tracks."""
    shown = session.events[-MOST_EVENTS:]
    left_out = len(session.events) - len(shown)
    notes = []
    if left_out:
        notes.append(f"… {left_out:,} earlier events are not shown here")
    elif not shown:
        notes.append("events not read" if session.is_cut else "no events yet")
    elif session.is_cut:
        notes.append("… earlier events were left out or removed")
    box = tag(
        "div",
        "box",
        _render_head(session),
        *(tag("div", "note", note) for note in notes),
        *_render_summary(session.summary),
        *_render_events(shown),
        *_render_state(session.state),
        *_render_tracks(session.tracks),
        # Jupyter would typeset "$5 or $6" as mathematics.
        **{"class": "langchain-redis-session tex2jax_ignore mathjax_ignore"},
    )
    return str(box)


def _render_head(session: ShownSession) -> Markup:
    key = session.key
    ids = [("app", key.app_name), ("user", key.user_id)]
    size = f"{count(len(session.events), 'event')} · " if session.events else ""
    times = f"created {_moment(session.created_at)} · updated {_moment(session.updated_at)} UTC"
    return tag(
        "div",
        "head",
        tag("span", "dim", "session "),
        tag("span", "title", key.session_id),
        *(
            part
            for name, value in ids
            for part in (tag("span", "gap", f"{name} "), tag("span", "strong", value))
        ),
        tag("div", "dim", size + times),
    )


def _render_summary(summary: ShownSummary | None) -> Iterator[Markup]:
    if summary is None:
        return
    title = ["summary", tag("span", "gap", _peek(summary.text))]
    upto = f"up to {_moment(to_datetime(summary.boundary.cutoff_ns))} UTC"
    yield tag("div", "section", fold([*title, tag("span", "gap", upto)], summary.text))


def _render_events(events: Iterable[ShownEvent]) -> Iterator[Markup]:
    day = ""
    for event in events:
        date, _, clock = _time_of(event).partition(" ")
        if date != day and day:
            yield tag("div", "note", date)
        day = date
        if event.message is None:
            yield _render_silent(event, clock)
        else:
            yield _render_message(event, event.message, clock)


def _render_silent(event: ShownEvent, clock: str) -> Markup:
    """An event without a message: one line."""
    changes = _render_changes(event) or ["event without a message"]
    extra = [fold(["more"], _json(event.extra))] if event.extra else []
    return tag("div", "note", _render_clock(event, clock, "note end"), *changes, *extra)


def _render_message(event: ShownEvent, message: BaseMessage, clock: str) -> Markup:
    role = _role_of(message)
    style = role if role in _ROLE_COLOURS else ""
    head = [
        _render_clock(event, clock),
        tag("span", f"badge {style}", role),
        *(tag("span", "gap", name) for name in _names_of(event, message, role)),
    ]
    if getattr(message, "status", None) == "error":
        head.append(tag("span", "error", "error"))
    usage = getattr(message, "usage_metadata", None)
    if usage:
        counts = f"{usage.get('input_tokens', 0):,} → {usage.get('output_tokens', 0):,} tokens"
        head.append(tag("span", "gap", counts))
    changes = _render_changes(event)
    return tag(
        "div",
        f"message {style}",
        tag("div", "row", *head),
        *_render_reasoning(message),
        *_render_content(message),
        *_render_calls(message),
        *([tag("div", "dim", *changes)] if changes else []),
    )


def _render_clock(event: ShownEvent, clock: str, style: str = "end") -> Markup:
    known = [f"{_time_of(event)} UTC", f"event {event.id}"]
    if event.request_id:
        known.append(f"request {event.request_id}")
    return tag("span", style, clock, title="\n".join(known))


def _render_changes(event: ShownEvent) -> list[Part]:
    if not event.state_delta:
        return []
    changes: list[Part] = ["state "]
    for place, (name, value) in enumerate(event.state_delta.items()):
        text = f"{name} = {_cut(_json(value, indent=None), 100)}"
        changes += [", " if place else "", tag("code", "code", text)]
    return changes


def _role_of(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return message.role
    for kind, role in (
        (HumanMessage, "user"),
        (AIMessage, "assistant"),
        (ToolMessage | FunctionMessage, "tool"),
        (SystemMessage, "system"),
    ):
        if isinstance(message, kind):
            return role
    return message.type


def _names_of(event: ShownEvent, message: BaseMessage, role: str) -> Iterator[str]:
    """Who else it was: the message's name, and the author where that says more."""
    seen = {"", role}
    for name in (message.name, event.author):
        if name and name not in seen:
            seen.add(name)
            yield name
    if isinstance(message, ToolMessage) and message.tool_call_id:
        yield message.tool_call_id


def _render_reasoning(message: BaseMessage) -> Iterator[Markup]:
    texts = [message.additional_kwargs.get("reasoning_content")]
    texts += [_reasoning_of(block) for block in _blocks_of(message)]
    for text in texts:
        if text:
            shown = text if isinstance(text, str) else _json(text)
            yield fold(["reasoning", tag("span", "gap", _peek(shown))], shown)


def _reasoning_of(block: Any) -> Any:
    kind = _kind_of(block)
    return (block.get(_REASONING[kind]) or block.get("summary")) if kind in _REASONING else None


def _render_content(message: BaseMessage) -> Iterator[Markup]:
    is_result = isinstance(message, ToolMessage | FunctionMessage)
    call_ids = {call.get("id") for call in _calls_of(message, "tool_calls")}
    for block in _blocks_of(message):
        kind = _kind_of(block)
        text = block if isinstance(block, str) else block.get("text") if kind == "text" else None
        if isinstance(text, str):
            if text:
                yield _render_result(text) if is_result else _render_text(text)
        elif kind in _MEDIA:
            yield _render_media(kind, block)
        elif kind in _REASONING or (call_ids and _is_call(block, call_ids)):
            continue  # shown as what they are
        else:
            yield fold([kind or "content"], _json(block))
    artifact = getattr(message, "artifact", None)
    if artifact is not None:
        yield fold(["artifact"], _json(artifact))


def _blocks_of(message: BaseMessage) -> list[Any]:
    return message.content if isinstance(message.content, list) else [message.content]


def _kind_of(block: Any) -> str:
    kind = block.get("type") if isinstance(block, dict) else None
    return kind if isinstance(kind, str) else ""


def _is_call(block: dict[str, Any], call_ids: set[Any]) -> bool:
    """Whether a block only repeats one of the message's tool calls."""
    is_call = _kind_of(block) in ("tool_use", "tool_call", "function_call")
    return is_call and any(
        isinstance(known, str) and known in call_ids
        for known in (block.get("id"), block.get("call_id"))
    )


def _render_text(text: str) -> Markup:
    if len(text) <= LONG_TEXT:
        return tag("div", "text", text, dir="auto")
    first, rest = text[: LONG_TEXT // 2], text[LONG_TEXT // 2 :]
    return tag(
        "div", "row", tag("div", "text", first + "…", dir="auto"), fold([_more(rest)], "…" + rest)
    )


def _more(text: str) -> str:
    return f"{len(text):,} more characters"


def _render_result(text: str) -> Markup:
    shown = _pretty(text)
    if len(shown) <= LONG_RESULT and shown.count("\n") < 12:
        return tag("pre", "pre", shown, dir="auto")
    size = tag("span", "gap", f"{len(text):,} characters")
    return fold(["result ", tag("code", "code", _peek(text)), size], shown)


def _render_media(kind: str, block: dict[str, Any]) -> Markup:
    """Say what is there, and load nothing."""
    facts = _flatten(block)
    name, mime, url, data = (
        next((facts[key] for key in keys if isinstance(facts.get(key), str | bytes)), "")
        for keys in (
            ("filename", "title", "name", "file_id"),
            ("mime_type", "media_type", "format"),
            ("url", "image_url", "video_url", "file_url"),
            ("base64", "data", "file_data", "text"),
        )
    )
    source = str(data or url)
    if source.startswith("data:"):
        head, _, data = source.partition(",")
        mime = mime or head.removeprefix("data:").partition(";")[0]
        url = ""
    is_base64 = isinstance(data, str) and kind != "text-plain"
    size = len(data.rstrip("=")) * 3 // 4 if is_base64 else len(data)
    known = [name, mime, _size(size) if data else "", _cut(str(url), 100)]
    label = kind.removeprefix("input_").removesuffix("_url")
    return tag(
        "span",
        "media",
        tag("span", "strong", label),
        *(tag("span", "gap", _cut(str(fact), 100)) for fact in known if fact),
    )


def _flatten(block: dict[str, Any]) -> dict[str, Any]:
    """Put the members of inner objects beside the block's: providers nest them differently."""
    inner = [value for value in block.values() if isinstance(value, dict)]
    return {key: value for members in (*inner, block) for key, value in members.items() if value}


def _calls_of(message: BaseMessage, name: str) -> list[dict[str, Any]]:
    return list(getattr(message, name, None) or ())


def _render_calls(message: BaseMessage) -> Iterator[Markup]:
    for call in _calls_of(message, "tool_calls"):
        yield fold(_call_title("call", call), _json(call.get("args")))
    for call in _calls_of(message, "invalid_tool_calls"):
        lines = [str(call[name]) for name in ("args", "error") if call.get(name)]
        yield fold(_call_title("invalid call", call), "\n\n".join(lines))


def _call_title(label: str, call: dict[str, Any]) -> list[Part]:
    arguments = call.get("args")
    peek = arguments if isinstance(arguments, str) else _json(arguments or {}, indent=None)[1:-1]
    return [
        f"{label} ",
        tag("span", "strong", str(call.get("name") or "")),
        tag("code", "code", f"({_cut(peek, 60)})"),
        *([tag("span", "gap", str(call["id"]))] if call.get("id") else []),
    ]


def _render_state(state: Mapping[str, Any]) -> Iterator[Markup]:
    if state:
        # The session's own values first, then those it shares.
        names = sorted(state, key=lambda name: (_SCOPES.get(name.partition(":")[0], 0), name))
        rows = (
            tag(
                "tr",
                "line",
                tag("td", "name", tag("code", "code", _cut(name, 60))),
                tag(
                    "td", "cell", tag("code", "code", _cut_loudly(_value(state[name]), LONG_VALUE))
                ),
            )
            for name in names
        )
        table = tag("table", "table", tag("tbody", "line", *rows))
        yield tag("div", "section", tag("span", "strong", "state"), table)


_SCOPES = {"user": 1, "app": 2}


def _render_tracks(tracks: Iterable[str]) -> Iterator[Markup]:
    names = [tag("span", "gap", name) for name in tracks]
    if names:
        yield tag("div", "section", tag("span", "strong", "tracks"), *names)


def fold(title: Iterable[Part], text: str) -> Markup:
    return tag(
        "details",
        "fold",
        tag("summary", "summary", *title),
        tag("pre", "pre", _cut_loudly(text, MOST_TEXT), dir="auto"),
    )


def _json(value: Any, indent: int | None = 2) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, default=repr)
    except (TypeError, ValueError, RecursionError):  # keys that are no text, a circle, a pit
        pass
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of too many digits
        return "too large to show"


def _value(value: Any) -> str:
    return repr(value) if isinstance(value, bytes) else _json(value, indent=None)


def _pretty(text: str) -> str:
    """Indent a text that is a JSON object or array, unless it is short."""
    if text[:1] in ("{", "[") and len(text) > 80:
        try:
            return _json(json.loads(text))
        except (ValueError, RecursionError):
            pass
    return text


def _peek(text: str) -> str:
    return _cut(" ".join(text[:200].split()), 60)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _cut_loudly(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}… ({_more(text[length:])})"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(size: int) -> str:
    for unit, name in _SIZES:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return count(size, "byte")


def _moment(moment: Any) -> str:
    return str(moment.isoformat(" "))[:19]


def _time_of(event: ShownEvent) -> str:
    try:
        return _moment(event.timestamp)
    except OverflowError:  # beyond the year 9999
        return f"{event.time_ns} ns"
