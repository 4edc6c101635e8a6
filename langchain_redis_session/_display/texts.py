"""Texts as a reader wants them: Markdown rendered, what is long folded."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_redis_session._display.code import highlight
from langchain_redis_session._display.markdown import render_markdown
from langchain_redis_session._display.markup import Markup, Part
from langchain_redis_session._display.styles import tag
from langchain_redis_session._display.wording import cut_loudly, indent_json, more, peek

LONG_TEXT = 2_000
LONG_RESULT = 400
MOST_TEXT = 20_000
_MOST_MARKUP = 100_000


def render_text(text: str) -> Markup:
    """Show what somebody said, as Markdown if it can be; the end of a long text is folded."""
    blocks = render_markdown(text)
    # A table of nothing but cells is many times as long as its text.
    is_long = sum(len(block.markup) for block in blocks) > _MOST_MARKUP
    if not blocks or is_long or blocks[0].size > LONG_TEXT:
        return _render_plain(text)
    size = 0
    for place, block in enumerate(blocks):
        size += block.size
        if size > LONG_TEXT:
            left = sum(block.size for block in blocks[place:])
            rest = tag("div", "inside", *(block.markup for block in blocks[place:]))
            shown = (block.markup for block in blocks[:place])
            return tag("div", "row", *shown, fold_markup([f"{left:,} more characters"], rest))
    return tag("div", "row", *(block.markup for block in blocks))


def _render_plain(text: str) -> Markup:
    if len(text) <= LONG_TEXT:
        return tag("div", "text", text, dir="auto")
    first, rest = text[: LONG_TEXT // 2], text[LONG_TEXT // 2 :]
    return tag(
        "div", "row", tag("div", "text", first + "…", dir="auto"), fold([more(rest)], "…" + rest)
    )


def render_result(text: str) -> Markup:
    """Show what a tool said, as it is; what is long is folded."""
    shown = indent_json(text)
    if len(shown) <= LONG_RESULT and shown.count("\n") < 12:
        return tag("pre", "pre", shown, dir="auto")
    size = tag("span", "gap", f"{len(text):,} characters")
    language = "json" if shown is not text else ""
    return fold(["result ", tag("code", "code", peek(text)), " ", size], shown, language)


def fold(title: Iterable[Part], text: str, language: str = "") -> Markup:
    """Fold a text as it is below a title."""
    shown = highlight(cut_loudly(text, MOST_TEXT), language)
    return fold_markup(title, tag("pre", "pre", *shown, dir="auto"))


def fold_markup(title: Iterable[Part], inside: Markup) -> Markup:
    """Fold markup below a title."""
    return tag("details", "fold", tag("summary", "summary", *title), inside)
