"""Images and other media in messages: small images themselves, of the rest what they are."""

from __future__ import annotations

import base64
import re
from typing import Any

from langchain_redis_session._display.guard import attempt
from langchain_redis_session._display.markup import Markup
from langchain_redis_session._display.styles import tag
from langchain_redis_session._display.wording import cut, name_size

MEDIA = {
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
LARGEST_IMAGE = 150_000
"""Bytes of an image that is shown; a page has to stay a page."""

# What a browser shows as pixels, by its first bytes. (SVG is more than pixels.)
_IMAGES = {
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/gif": rb"GIF8[79]a",
    "image/webp": rb"RIFF....WEBP",
}


def render_media(kind: str, block: dict[str, Any]) -> Markup:
    """Show a small image; say what else there is, and load nothing."""
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
    known = [name, mime, name_size(size) if data else "", cut(str(url), 100)]
    shown = [cut(str(fact), 100) for fact in known if fact]
    label = kind.removeprefix("input_").removesuffix("_url")
    parts = [tag("b", "strong", label), *(tag("span", "gap", fact) for fact in shown)]
    if data and "image" in (label, str(mime).partition("/")[0]) and size <= LARGEST_IMAGE:
        image = attempt(lambda: _make_source(data), lambda _: "")
        if image:
            parts.append(tag("img", "thumbnail", src=image, alt=" ".join([label, *shown])))
    return tag("div", "media", *_spaced(parts))


def _spaced(parts: list[Markup]) -> list[Markup | str]:
    return [found for part in parts for found in (part, " ")][:-1]


def _make_source(data: str | bytes) -> str:
    """Give an image's bytes as a URL; "" where they are no image."""
    content = data if isinstance(data, bytes) else base64.b64decode(data, validate=True)
    for mime, start in _IMAGES.items():
        if re.match(start, content, re.DOTALL):
            return f"data:{mime};base64,{base64.b64encode(content).decode()}"
    return ""


def _flatten(block: dict[str, Any]) -> dict[str, Any]:
    """Put the members of inner objects beside the block's: providers nest them differently."""
    inner = [value for value in block.values() if isinstance(value, dict)]
    return {key: value for members in (*inner, block) for key, value in members.items() if value}
