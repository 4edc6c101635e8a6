"""Markdown as markup, by markdown-it-py where that is installed (extra notebook).

Only its tokens are used: what each of them becomes stands here, made by `element` as all markup
is. HTML in a text stays text, images are links, and links go to the web or to a mailbox.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from langchain_redis_session._display.code import highlight
from langchain_redis_session._display.guard import attempt
from langchain_redis_session._display.markup import Markup, Part
from langchain_redis_session._display.styles import tag

_MOST_CHARACTERS = 20_000
_DEEPEST = 12
_LINK = re.compile(r"(?:https?://|mailto:)[^\s\x00-\x20]+", re.IGNORECASE)


class Block(NamedTuple):
    """A paragraph, a list, a piece of code; and how many characters of the text it is."""

    size: int
    markup: Markup


def render_markdown(text: str) -> list[Block]:
    """Give a text's blocks; none where it is too long, or nobody can read Markdown here."""
    if len(text) > _MOST_CHARACTERS:
        return []
    return attempt(lambda: list(_render_blocks(text)), lambda _: [])


@cache
def _load() -> tuple[Any, Any]:
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _DEEPEST})
    return parser.enable(["table", "strikethrough"]), SyntaxTreeNode


def _render_blocks(text: str) -> Iterator[Block]:
    parser, make_tree = _load()
    lines = text.splitlines(keepends=True)
    for node in make_tree(parser.parse(text)).children:
        first, last = node.map or (0, 0)
        yield Block(sum(map(len, lines[first:last])), _render(node))


def _render(node: Any) -> Markup:
    return _RENDERERS.get(node.type, _render_other)(node)


def _inside(node: Any) -> list[Part]:
    return [part for child in node.children for part in _parts_of(child)]


def _parts_of(node: Any) -> list[Part]:
    if node.type in ("text", "text_special", "html_inline"):
        return [node.content]
    if node.type in ("softbreak", "hardbreak"):
        return [tag("br", "mark")]
    if node.type == "inline" or (node.type == "paragraph" and node.hidden):
        return _inside(node)
    return [_render(node)]


def _renderer(name: str, style: str, **attributes: str) -> Callable[[Any], Markup]:
    return lambda node: tag(name, style, *_inside(node), **attributes)


def _render_other(node: Any) -> Markup:
    return tag("span", "mark", *(_inside(node) or [node.content]))


def _render_heading(node: Any) -> Markup:
    # A real heading would go into the notebook's table of contents.
    return tag("p", "p strong", tag("b", "mark", *_inside(node)), dir="auto")


def _render_code(node: Any) -> Markup:
    language = node.info.split()[0] if node.info.split() else ""
    return tag("pre", "pre", *highlight(node.content, language), dir="ltr")


def _render_list(node: Any) -> Markup:
    start = node.attrs.get("start", 1)
    return tag("ol", "list", *_inside(node), start=str(start))


def _render_link(node: Any) -> Markup:
    target = str(node.attrs.get("href", ""))
    if not _LINK.fullmatch(target):
        return tag("span", "mark", *_inside(node), f" ({target})" if target else "")
    return _link(target, *_inside(node))


def _render_image(node: Any) -> Markup:
    """An image is somewhere else: nothing is loaded."""
    target = str(node.attrs.get("src", ""))
    name = f"image: {node.content}" if node.content else "image"
    return _link(target, name) if _LINK.fullmatch(target) else tag("span", "mark", f"[{name}]")


def _link(target: str, *parts: Part) -> Markup:
    known = {"href": target, "title": target, "target": "_blank", "rel": "noopener noreferrer"}
    return tag("a", "link", *parts, **known)


_RENDERERS: dict[str, Callable[[Any], Markup]] = {
    "paragraph": _renderer("p", "p", dir="auto"),
    "heading": _render_heading,
    "fence": _render_code,
    "code_block": _render_code,
    "bullet_list": _renderer("ul", "list", dir="auto"),
    "ordered_list": _render_list,
    "list_item": _renderer("li", "item"),
    "blockquote": _renderer("blockquote", "quote", dir="auto"),
    "hr": _renderer("hr", "rule"),
    "table": _renderer("table", "grid"),
    "thead": _renderer("thead", "table line"),
    "tbody": _renderer("tbody", "table line"),
    "tr": _renderer("tr", "table line"),
    "th": _renderer("th", "grid cell"),
    "td": _renderer("td", "grid cell"),
    "em": _renderer("em", "mark"),
    "strong": _renderer("strong", "mark"),
    "s": _renderer("s", "mark"),
    "code_inline": lambda node: tag("code", "inline code", node.content),
    "link": _render_link,
    "image": _render_image,
}
