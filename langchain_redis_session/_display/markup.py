"""HTML and SVG from parts, where whatever is not markup is text.

>>> str(element("b", "1 < 2", title='"'))
'<b title="&quot;">1 &lt; 2</b>'
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# Control characters that no page shows, and surrogates, which no page can carry.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_VOID = ("br", "hr", "img")


class Markup(str):
    """Markup that `element` made; every other string is text."""

    __slots__ = ()


Part = str | Markup


def element(name: str, *parts: Part, **attributes: object) -> Markup:
    """Make an element. What is no `Markup` is escaped, in parts and attributes.

    In attribute names, "_" stands for "-".
    """
    shown = "".join(
        f' {key.replace("_", "-")}="{_escape(value, quote=True)}"'
        for key, value in attributes.items()
    )
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{join(parts)}</{name}>")


def join(parts: Iterable[Part]) -> Markup:
    """Put parts beside each other."""
    return Markup("".join(part if isinstance(part, Markup) else _escape(part) for part in parts))


def _escape(text: object, *, quote: bool = False) -> str:
    return html.escape(_UNSHOWABLE.sub("\ufffd", str(text)), quote=quote)
