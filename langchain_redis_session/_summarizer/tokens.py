"""Estimating the tokens of messages, media included."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

from langchain_redis_session._codec.sizes import estimate
from langchain_redis_session.errors import attempt

# About what providers take for a picture of low resolution (as langchain-core says), half a
# minute of sound, some seconds of film, and a page of a document.
_COSTS = {"image": 85, "audio": 1000, "video": 2000, "file": 1000}
_KINDS = (
    ("image", re.compile("image", re.IGNORECASE)),
    ("audio", re.compile("audio", re.IGNORECASE)),
    ("video", re.compile("video", re.IGNORECASE)),
    ("file", re.compile("file|document|media|pdf|inline_?data|application/", re.IGNORECASE)),
)
_TYPES = ("type", "mime_type", "mimeType", "media_type", "mediaType")
_REFERENCES = {"url", "image_url", "file_id", "fileId", "file_uri", "fileUri", "file_url"}
_TEXTS = {"text", "text-plain", "reasoning", "thinking", "tool_use", "tool_call", "function_call"}
_SHORTEST_PAYLOAD = 64
_MOST_BYTES, _BYTES_A_TOKEN = 2**30, 4
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]+=*\s*")


def count_tokens(messages: Iterable[BaseMessage]) -> int:
    """Estimate the tokens of messages; pictures, sounds, films and files at a fixed cost each.

    Text is counted as langchain-core's `count_tokens_approximately` does, which takes the
    base64 of most media for text.

    >>> from langchain_core.messages import HumanMessage
    >>> pdf = {"type": "file", "base64": "QUJD" * 100_000, "mime_type": "application/pdf"}
    >>> count_tokens([HumanMessage([{"type": "text", "text": "What does it say?"}, pdf])]) < 1100
    True
    """
    messages = [*messages]
    return attempt(lambda: _count_all(messages), lambda: sum(map(_count_anyhow, messages)))


def _count_all(messages: Iterable[BaseMessage]) -> int:
    total, texts = 0, []
    for message in messages:
        cost, text = _split(message)
        total += cost
        texts.append(text)
    return total + count_tokens_approximately(texts)


def _count_anyhow(message: BaseMessage) -> int:
    # Of content that no model takes, such as a text that is a number, there is an estimate.
    return attempt(
        lambda: _count_all([message]),
        lambda: estimate(message.content, most=_MOST_BYTES) // _BYTES_A_TOKEN,
    )


def _split(message: BaseMessage) -> tuple[int, BaseMessage]:
    """Give the cost of a message's media, and the message without them."""
    if not isinstance(message.content, list):
        return 0, message
    total, kept = 0, []
    for block in message.content:
        cost, rest = _split_block(block)
        total += cost
        if not cost:
            kept.append(block)
        elif rest:
            kept.append({"type": "text", "text": rest})
    return (total, message.model_copy(update={"content": kept})) if total else (0, message)


def _split_block(block: Any) -> tuple[int, str]:
    """Give the cost of a block's media, and its text; the cost is 0 where it has none."""
    if not isinstance(block, Mapping) or block.get("type") in _TEXTS:
        return 0, ""
    media = _Media()
    media.take(block, "")
    return media.cost, " ".join(media.texts)


class _Media:
    """What is found in a block: the cost of its media, and its texts."""

    def __init__(self) -> None:
        self.cost = 0
        self.texts: list[str] = []

    def take(self, value: Any, kind: str) -> None:
        if isinstance(value, Mapping):
            self._take_members(value, kind)
        elif isinstance(value, list | tuple):
            for item in value:
                self.take(item, kind)
        elif kind and _is_payload(value):
            self.cost += _COSTS[kind]
        elif isinstance(value, str):
            self.texts.append(value)

    def _take_members(self, members: Mapping[Any, Any], kind: str) -> None:
        own = [_find_kind(members.get(name)) for name in _TYPES]
        kind = _choose_kind(own) or kind
        before = self.cost
        for name, value in members.items():
            if name not in _TYPES and not (kind and _is_reference(name, value)):
                self.take(value, _choose_kind([_find_kind(name), kind]))
        is_named = bool(own[0])
        if (
            is_named
            and self.cost == before
            and any(_is_reference(name, value) for name, value in members.items())
        ):
            self.cost += _COSTS[kind]


def _find_kind(name: Any) -> str:
    if not isinstance(name, str):
        return ""
    return next((kind for kind, pattern in _KINDS if pattern.search(name)), "")


def _choose_kind(kinds: list[str]) -> str:
    """The first that says more than that it is a file."""
    found = [kind for kind in kinds if kind]
    return next((kind for kind in found if kind != "file"), found[0] if found else "")


def _is_reference(name: Any, value: Any) -> bool:
    """Whether a member says where the content is."""
    if isinstance(value, Mapping):
        return any(_is_reference(*member) for member in value.items())
    return name in _REFERENCES and isinstance(value, str) and not _is_payload(value)


def _is_payload(value: Any) -> bool:
    """Whether it is the content of a file: bytes, a data URL, or base64."""
    if isinstance(value, bytes | bytearray | memoryview):
        return True
    if not isinstance(value, str) or (len(value) < _SHORTEST_PAYLOAD and value[:5] != "data:"):
        return False
    # Ends and middle tell: it may be long.
    middle = len(value) // 2
    parts = (value[:200], value[middle : middle + 200], value[-200:])
    return value[:5] == "data:" or (
        " " not in parts[0] and all(_BASE64.fullmatch(part) for part in parts)
    )
