"""One event of a session: who said it, when, the text, the tool calls, changes of state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from langchain_core.messages import BaseMessage, ChatMessage, ToolMessage

from langchain_redis_session._display.markup import Markup, Part, join
from langchain_redis_session._display.media import MEDIA, render_media
from langchain_redis_session._display.pages import fit
from langchain_redis_session._display.shown import ShownEvent
from langchain_redis_session._display.styles import role_style, tag
from langchain_redis_session._display.texts import fold, render_result, render_text
from langchain_redis_session._display.wording import (
    cut,
    in_local_time,
    in_utc,
    peek,
    time_of,
    to_json,
)

LARGEST_EVENT = 220_000
"""Bytes of what is shown of an event: more than an image needs."""
_LONGEST_NAME = 100
_MOST_CHANGES = 20
_ROLES = {"human": "user", "ai": "assistant", "function": "tool"}
_REASONING = {"reasoning": "reasoning", "thinking": "thinking"}


def render_events(events: Sequence[ShownEvent], room: int) -> list[Markup]:
    """Show the newest events that there is room for; a line says the day where there are more."""
    shown = list(fit(map(_render_event, reversed(events)), room))[::-1]
    newest = events[len(events) - len(shown) :]
    days = [in_local_time(time_of(event.time_ns))[:10] for event in newest]
    if len(set(days)) > 1:
        for place, (day, before) in enumerate(zip(days, ["", *days], strict=False)):
            if day != before:
                shown[place] = join([tag("div", "note", day), shown[place]])
    return shown


def _render_event(event: ShownEvent) -> Markup:
    if event.message is None:
        return _render_silent(event)
    messages = (event.message, *event.further_messages)
    return join(_fit(_render_message(event, message) for message in messages))


def _fit(parts: Iterable[Markup]) -> Iterator[Markup]:
    note = tag("div", "dim", "… and more, too much to be shown here")
    return fit(parts, LARGEST_EVENT, note=note)


def _render_silent(event: ShownEvent) -> Markup:
    """An event without a message: one line."""
    changes = tag("span", "mark", *(_render_changes(event) or ["event without a message"]))
    extra = [fold(["more"], to_json(event.extra), "json")] if event.extra else []
    return tag("div", "note", changes, " ", *extra, " ", _render_clock(event))


def _render_message(event: ShownEvent, message: BaseMessage) -> Markup:
    role = role_of(message)
    style = role_style(role)
    head: list[Part] = [tag("b", f"badge {style}", cut(role, _LONGEST_NAME)), " "]
    for name in _names_of(event, message, role):
        head += [tag("span", "dim", name), " "]
    if getattr(message, "status", None) == "error":
        head += [tag("b", "error", "error"), " "]
    usage = getattr(message, "usage_metadata", None)
    if usage:
        counts = f"{usage.get('input_tokens', 0):,} → {usage.get('output_tokens', 0):,} tokens"
        head += [tag("span", "dim", counts), " "]
    changes = _render_changes(event)
    parts = chain(_render_reasoning(message), _render_content(message), _render_calls(message))
    return tag(
        "div",
        f"message {style}",
        tag("div", "line", *head, _render_clock(event)),
        *_fit(parts),
        *([tag("div", "dim", *changes)] if changes else []),
    )


def _render_clock(event: ShownEvent) -> Markup:
    moment = time_of(event.time_ns)
    known = [in_utc(moment), f"event {cut(event.id, _LONGEST_NAME)}"]
    if event.request_id:
        known.append(f"request {cut(event.request_id, _LONGEST_NAME)}")
    return tag("span", "end", in_local_time(moment)[11:], title="\n".join(known))


def _render_changes(event: ShownEvent) -> list[Part]:
    if not event.state_delta:
        return []
    changes: list[Part] = ["state "]
    for place, (name, value) in enumerate(islice(event.state_delta.items(), _MOST_CHANGES)):
        text = f"{cut(name, _LONGEST_NAME)} = {cut(to_json(value, indent=None), 100)}"
        changes += [", " if place else "", tag("code", "code", text)]
    left_out = len(event.state_delta) - _MOST_CHANGES
    return [*changes, f", … {left_out:,} more"] if left_out > 0 else changes


def role_of(message: BaseMessage) -> str:
    """Say who speaks."""
    if isinstance(message, ChatMessage):
        return message.role
    kind = message.type.removesuffix("MessageChunk").lower()
    return _ROLES.get(kind, kind)


def _names_of(event: ShownEvent, message: BaseMessage, role: str) -> Iterator[str]:
    """Who else it was: the message's name, and the author where that says more."""
    seen = {"", role}
    for name in (message.name, event.author):
        if name and name not in seen:
            seen.add(name)
            yield cut(name, _LONGEST_NAME)
    if isinstance(message, ToolMessage) and message.tool_call_id:
        yield cut(message.tool_call_id, _LONGEST_NAME)


def _render_reasoning(message: BaseMessage) -> Iterator[Markup]:
    texts = [message.additional_kwargs.get("reasoning_content")]
    texts += [_reasoning_of(block) for block in blocks_of(message)]
    for text in texts:
        if text:
            shown = text if isinstance(text, str) else to_json(text)
            yield fold(["reasoning ", tag("span", "gap", peek(shown))], shown)


def _reasoning_of(block: Any) -> Any:
    kind = kind_of(block)
    return (block.get(_REASONING[kind]) or block.get("summary")) if kind in _REASONING else None


def _render_content(message: BaseMessage) -> Iterator[Markup]:
    is_result = role_of(message) == "tool"
    call_ids = {call.get("id") for call in _calls_of(message, "tool_calls")}
    for block in blocks_of(message):
        kind = kind_of(block)
        text = block if isinstance(block, str) else block.get("text") if kind == "text" else None
        if isinstance(text, str):
            if text:
                yield render_result(text) if is_result else render_text(text)
        elif kind in MEDIA:
            yield render_media(kind, block)
        elif kind in _REASONING or (call_ids and _is_call(block, call_ids)):
            continue  # shown as what they are
        else:
            yield fold([cut(kind, _LONGEST_NAME) or "content"], to_json(block), "json")
    artifact = getattr(message, "artifact", None)
    if artifact is not None:
        yield fold(["artifact"], to_json(artifact), "json")


def blocks_of(message: BaseMessage) -> list[Any]:
    """Give a message's content as blocks."""
    return message.content if isinstance(message.content, list) else [message.content]


def kind_of(block: Any) -> str:
    """Give a block's type; "" where it has none."""
    kind = block.get("type") if isinstance(block, dict) else None
    return kind if isinstance(kind, str) else ""


def _is_call(block: dict[str, Any], call_ids: set[Any]) -> bool:
    """Whether a block only repeats one of the message's tool calls."""
    is_call = kind_of(block) in ("tool_use", "tool_call", "function_call")
    return is_call and any(
        isinstance(known, str) and known in call_ids
        for known in (block.get("id"), block.get("call_id"))
    )


def _calls_of(message: BaseMessage, name: str) -> list[dict[str, Any]]:
    return list(getattr(message, name, None) or ())


def _render_calls(message: BaseMessage) -> Iterator[Markup]:
    for call in _calls_of(message, "tool_calls"):
        yield fold(_call_title("call", call), to_json(call.get("args")), "json")
    for call in _calls_of(message, "invalid_tool_calls"):
        lines = [str(call[name]) for name in ("args", "error") if call.get(name)]
        yield fold(_call_title("invalid call", call), "\n\n".join(lines))


def _call_title(label: str, call: dict[str, Any]) -> list[Part]:
    arguments = call.get("args")
    peeked = (
        arguments if isinstance(arguments, str) else to_json(arguments or {}, indent=None)[1:-1]
    )
    return [
        f"{label} ",
        tag("b", "strong", cut(str(call.get("name") or ""), _LONGEST_NAME)),
        tag("code", "code", f"({cut(peeked, 60)})"),
        *([" ", tag("span", "gap", cut(str(call["id"]), _LONGEST_NAME))] if call.get("id") else []),
    ]


def first_text(message: BaseMessage) -> str:
    """Give the beginning of what a message says, in one line; else what it holds."""
    for block in blocks_of(message):
        text = block if isinstance(block, str) else block.get("text") if block else None
        if isinstance(text, str) and text.strip():
            return peek(text, 80)
    names = [str(call.get("name") or "") for call in _calls_of(message, "tool_calls")]
    if names:
        return peek(f"call {', '.join(names)}", 80)
    return peek(", ".join(dict.fromkeys(filter(None, map(kind_of, blocks_of(message))))), 80)
