"""Pages taken apart, and checked to be only what they may be."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from langchain_redis_session._display.styles import STYLES

ALLOWED_TAGS = {
    *("a", "b", "blockquote", "br", "code", "details", "div", "em", "hr", "img", "li", "ol", "p"),
    *("pre", "s", "span", "strong", "summary", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
ALLOWED_ATTRIBUTES = {"class", "dir", "style", "title"}
FURTHER_ATTRIBUTES = {
    "a": {"href", "rel", "target"},
    "img": {"alt", "src"},
    "ol": {"start"},
}
VOID = {"br", "hr", "img"}


class Page(HTMLParser):
    """A page taken apart: its elements with their attributes, and its text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.oddities: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"twice the same attribute: {attrs}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.oddities.append(data)

    def handle_decl(self, decl: str) -> None:
        self.oddities.append(decl)

    def handle_pi(self, data: str) -> None:
        self.oddities.append(data)

    def unknown_decl(self, data: str) -> None:
        self.oddities.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read_page(markup: str) -> Page:
    """Take a page apart, and check that it is only what it may be: nothing runs or is loaded."""
    assert markup.encode()  # a page can carry it
    page = Page(markup)
    assert not page.open
    assert not page.oddities
    for tag, attributes in page.elements:
        assert tag in ALLOWED_TAGS
        assert attributes.keys() <= ALLOWED_ATTRIBUTES | FURTHER_ATTRIBUTES.get(tag, set())
        assert attributes.get("style") in {*STYLES.values(), None}
        assert attributes.get("dir", "auto") in ("auto", "ltr")
        assert re.match(r"(https?://|mailto:)", attributes.get("href") or "http://", re.I)
        assert re.match(
            r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*$",
            attributes.get("src") or "data:image/png;base64,",
        )
        assert re.fullmatch(r"[0-9]+", attributes.get("start") or "1")
    assert len([a for _, a in page.elements if "class" in a]) == 1
    return page
