"""Multimodal content: LangChain's blocks <-> trpc-agent-go's `content` and `content_parts`.

A Go message holds its text in `content` and the rest as parts; where both stand, the
text comes first. Only content that has another part than text is written this way:
some Go versions take a message without `content` for an empty one.
"""

from __future__ import annotations

import base64
from typing import Any

from langchain_redis_session.errors import CorruptEventError


def encode_parts(blocks: list[Any]) -> tuple[str, list[dict[str, Any]]] | None:
    """Write blocks as Go's content and parts, if reading them gives the same blocks.

    >>> encode_parts(
    ...     [
    ...         {"type": "text", "text": "What is it?"},
    ...         {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}},
    ...     ]
    ... )
    ('What is it?', [{'type': 'image', 'image': {'url': 'https://a.b/c.png'}}])
    """
    parts = []
    for block in blocks:
        part = _encode_part(block) if type(block) is dict else None
        if part is None:
            return None
        parts.append(part)
    if all(part["type"] == "text" for part in parts):
        return None
    content = ""
    if parts[0]["type"] == "text":
        content = parts.pop(0)["text"]
    return (content, parts) if _same(decode_parts(content, parts), blocks) else None


def _same(blocks: list[Any], others: list[Any]) -> bool:
    # repr tells 1 from 1.0 and True, which == does not.
    return blocks == others and repr(blocks) == repr(others)


def _encode_part(block: dict[str, Any]) -> dict[str, Any] | None:
    kind = block.get("type")
    if kind == "text":
        text = block.get("text")
        return {"type": "text", "text": text} if type(text) is str and text else None
    if kind == "image_url":
        image = block.get("image_url")
        if type(image) is not dict or not all(type(v) is str and v for v in image.values()):
            return None
        return {"type": "image", "image": image}
    if kind == "file" and "file_id" in block:
        file_id = block["file_id"]
        return {"type": "file", "file": {"file_id": file_id}} if type(file_id) is str else None
    data, mime_type = block.get("base64"), block.get("mime_type")
    if type(data) is not str or type(mime_type) is not str or not _is_base64(data):
        return None
    if kind == "image":
        return {"type": "image", "image": {"data": data, "format": mime_type[6:]}}
    if kind == "audio":
        return {"type": "audio", "audio": {"data": data, "format": mime_type[6:]}}
    if kind == "file":
        file = {"data": data, "format": mime_type}
        extras = block.get("extras")
        if type(extras) is dict and type(extras.get("filename")) is str:
            file["filename"] = extras["filename"]
        return {"type": "file", "file": file}
    return None


def _is_base64(text: str) -> bool:
    # Go's decoder would refuse the whole event for anything else.
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
    except ValueError:
        return False


def decode_parts(content: str, parts: Any) -> list[Any]:
    """Read Go's content and parts as LangChain's content blocks.

    Raises:
        CorruptEventError: Go would not read the parts either.
    """
    if type(parts) is not list:
        raise CorruptEventError(f"content_parts is {type(parts).__name__}, not a list")
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
    if kind not in ("image", "audio", "file"):
        # A part that is newer than this code; the model's adapter may know it.
        return {**part, "type": kind if type(kind) is str else ""}
    body = part.get(kind)
    if type(body) is not dict:
        raise CorruptEventError(f"a content part without its {kind}")
    data, form = _text(body, "data"), _text(body, "format")
    if kind == "image" and not data:
        image = {"url": _text(body, "url")}
        if detail := _text(body, "detail"):
            image["detail"] = detail
        return {"type": "image_url", "image_url": image}
    if kind == "file":
        if file_id := _text(body, "file_id"):
            return {"type": "file", "file_id": file_id}
        block: dict[str, Any] = {"type": "file", "base64": data, "mime_type": form}
        if filename := _text(body, "filename"):
            block["extras"] = {"filename": filename}
        return block
    return {"type": kind, "base64": data, "mime_type": f"{kind}/{form}"}


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if type(value) is not str:
        raise CorruptEventError(f"a content part's {name} is not a string")
    return value
