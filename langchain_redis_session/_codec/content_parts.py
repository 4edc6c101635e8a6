"""Multimodal content: LangChain's blocks <-> trpc-agent-go's `content` and `content_parts`.

A Go message holds its text in `content` and the rest as parts; where both stand, the
text comes first. Only content that has another part than text is written this way:
some Go versions take a message without `content` for an empty one.

A part may hold less than its block (an id, annotations): what Go is to see is written, and
the message's extension tells the rest, with references to the parts.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from langchain_redis_session._codec.corruption import Allowance
from langchain_redis_session._codec.plain_json import approximate_text, is_text
from langchain_redis_session.errors import CorruptEventError

_MEDIA = ("image", "audio", "video", "file")
_SOURCES = {"url": "url", "data": "base64", "file_id": "file_id"}
"""Where a part's content is, in Go's names and LangChain's."""
_PART_BYTES = 500
"""About what a block takes in memory, but for what it says."""


class EncodedParts(NamedTuple):
    """Blocks as Go's message holds them.

    Attributes:
        content: The text in front.
        parts: What follows.
        is_exact: Whether reading them gives the same blocks.
    """

    content: str
    parts: list[dict[str, Any]]
    is_exact: bool


def encode_parts(blocks: list[Any]) -> EncodedParts | None:
    """Write blocks as Go's content and parts; None if they hold nothing but text for it.

    >>> encode_parts(
    ...     [
    ...         {"type": "text", "text": "What is it?"},
    ...         {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}},
    ...     ]
    ... )
    EncodedParts(content='What is it?', parts=[{'type': 'image', 'image': {'url': \
'https://a.b/c.png'}}], is_exact=True)
    """
    parts = [part for part in map(_encode_block, blocks) if part is not None]
    if all(part["type"] == "text" for part in parts):
        return None
    content = parts.pop(0)["text"] if parts[0]["type"] == "text" else ""
    return EncodedParts(content, parts, _same(decode_parts(content, parts), blocks))


def _same(blocks: list[Any], others: list[Any]) -> bool:
    # repr tells 1 from 1.0 and True, which == does not.
    return blocks == others and repr(blocks) == repr(others)


def _encode_block(block: Any) -> dict[str, Any] | None:
    """Write what Go can hold of a block; None if that is nothing."""
    if isinstance(block, str):
        block = {"type": "text", "text": block}
    if not isinstance(block, dict):
        return None
    kind = block.get("type")
    if kind in ("text", "text-plain") and (text := _get_text(block, "text")):
        return {"type": "text", "text": text}
    if kind == "image_url":
        image = block.get("image_url")
        image = {"url": image} if isinstance(image, str) else image
        image = _get_texts(image, {"url": "url", "detail": "detail"})
        return {"type": "image", "image": image} if "url" in image else None
    if kind == "text-plain":
        kind = "file"
    return _encode_media(kind, block) if kind in _MEDIA else None


def _encode_media(kind: str, block: dict[Any, Any]) -> dict[str, Any] | None:
    body = _get_texts(block, _SOURCES)
    if block.get("source_type") == "base64":  # as langchain-core 0.3 wrote these blocks
        body |= _get_texts(block, {"data": "data"})
    elif block.get("source_type") == "id":
        body |= _get_texts(block, {"file_id": "id"})
    if not _is_base64(body.get("data", "")):
        del body["data"]
    if not body:
        return None
    if "file_id" in body:
        kind = "file"  # of Go's parts only this one has it
    if mime_type := _get_text(block, "mime_type"):
        start = "" if kind == "file" else f"{kind}/"
        body["format"] = mime_type.removeprefix(start)
    if kind == "file":
        body |= _get_texts(block, {"filename": "filename"})
        body |= _get_texts(block.get("extras"), {"filename": "filename"})
    return {"type": kind, kind: body}


def _get_texts(block: Any, names: Mapping[str, str]) -> dict[str, str]:
    """Give the texts that a block has under these names, by Go's name."""
    if not isinstance(block, dict):
        return {}
    found = {theirs: _get_text(block, ours) for theirs, ours in names.items()}
    return {name: text for name, text in found.items() if text}


def _get_text(block: dict[Any, Any], name: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        return ""
    text = str.__str__(value)
    return text if is_text(text) else approximate_text(text)


def _is_base64(text: str) -> bool:
    # Go's decoder would refuse the whole event for anything else.
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
    except ValueError:
        return False


def decode_parts(content: str, parts: Any, allowance: Allowance | None = None) -> list[Any]:
    """Read Go's content and parts as LangChain's content blocks.

    Raises:
        CorruptEventError: Go would not read the parts either.
    """
    if type(parts) is not list:
        raise CorruptEventError(f"content_parts is {type(parts).__name__}, not a list")
    if allowance is not None:
        allowance.take(_PART_BYTES * len(parts))
    blocks = [{"type": "text", "text": content}] if content else []
    for part in parts:
        if type(part) is not dict:
            raise CorruptEventError("a content part is not an object")
        blocks.append(_decode_part(part))
    return blocks


def _decode_part(part: dict[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": _text(part, "text")}
    if kind not in _MEDIA:
        # A part that is newer than this code; the model's adapter may know it.
        return {**part, "type": kind if type(kind) is str else ""}
    body = part.get(kind)
    if type(body) is not dict:
        raise CorruptEventError(f"a content part without its {kind}")
    texts = {name: _text(body, name) for name in (*_SOURCES, "format", "filename", "detail")}
    if kind == "image" and not texts["data"]:
        image = {"url": texts["url"]}
        if texts["detail"]:
            image["detail"] = texts["detail"]
        return {"type": "image_url", "image_url": image}
    block: dict[str, Any] = {"type": kind}
    for theirs, ours in _SOURCES.items():
        if texts[theirs]:
            block[ours] = texts[theirs]
    if len(block) == 1:
        block["base64"] = ""
    if form := texts["format"]:
        block["mime_type"] = form if kind == "file" or "/" in form else f"{kind}/{form}"
    if kind == "file" and texts["filename"]:
        block["extras"] = {"filename": texts["filename"]}
    return block


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if type(value) is not str:
        raise CorruptEventError(f"a content part's {name} is not a string")
    return value


def iterate_texts(parts: list[dict[str, Any]]) -> Iterator[tuple[int, str, str]]:
    """Give every text of encoded parts: the part's place, the text's name, the text."""
    for place, part in enumerate(parts):
        for name, text in _texts_of(part).items():
            if name != "type":
                yield place, name, text


def get_text(parts: Any, place: int, name: str) -> str:
    """Give a text of encoded parts.

    Raises:
        LookupError, TypeError: There is none.
    """
    text = _texts_of(parts[place])[name]
    if type(text) is not str:
        raise TypeError
    return text


def _texts_of(part: dict[str, Any]) -> dict[str, Any]:
    body = part if part["type"] == "text" else part[part["type"]]
    if type(body) is not dict:
        raise TypeError
    return body
