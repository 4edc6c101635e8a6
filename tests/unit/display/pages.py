"""Pages taken apart, and checked to be only what they may be."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from langchain_redis_session._display.pages import LARGEST_PAGE
from langchain_redis_session._display.styles import CLASSES, FRAME, PAGE

ALLOWED_TAGS = {
    *("a", "b", "blockquote", "br", "code", "details", "div", "em", "hr", "img", "li", "ol", "p"),
    *("pre", "s", "span", "strong", "style", "summary", "table", "tbody", "td", "th", "thead"),
    *("tr", "ul"),
}
ALLOWED_ATTRIBUTES = {"class", "dir", "style", "title"}
FURTHER_ATTRIBUTES = {
    "a": {"href", "rel", "target"},
    "img": {"alt", "src"},
    "ol": {"start"},
}
VOID = {"br", "hr", "img"}


class Page(HTMLParser):
    """A page taken apart: its elements with their attributes, its text, its style sheet."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.sheet = ""
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
        if self.open[-1:] == ["style"]:
            self.sheet += data
        else:
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

    def styled(self, style: str) -> list[str]:
        """Give the tags of the elements that look as a style."""
        return [tag for tag, found in self.elements if found.get("class") == CLASSES[style]]


def read_page(markup: str) -> Page:
    """Take a page apart, and check that it is only what it may be: nothing runs or is loaded."""
    assert len(markup.encode()) <= LARGEST_PAGE  # and it can be encoded
    page = Page(markup)
    assert not page.open
    assert not page.oddities
    for tag, attributes in page.elements:
        assert tag in ALLOWED_TAGS
        assert attributes.keys() <= ALLOWED_ATTRIBUTES | FURTHER_ATTRIBUTES.get(tag, set())
        assert attributes.get("class") in {*CLASSES.values(), PAGE["class"], None}
        assert attributes.get("style") in (FRAME, None)
        assert attributes.get("dir", "auto") in ("auto", "ltr")
        assert re.match(r"(https?://|mailto:)", attributes.get("href") or "http://", re.I)
        assert re.match(
            r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*$",
            attributes.get("src") or "data:image/png;base64,",
        )
        assert re.fullmatch(r"[0-9]+", attributes.get("start") or "1")
    assert [place for place, (tag, _) in enumerate(page.elements) if tag == "style"] == [0]
    assert [place for place, (_, a) in enumerate(page.elements) if a == PAGE] == [1]
    looks = {a["class"] for _, a in page.elements if "class" in a and a != PAGE}
    assert set(re.findall(r"\.(lrs-[a-z-]+)", page.sheet)) == {*looks, CLASSES["box"]}
    assert not re.search(r"url|@import|expression|<", page.sheet)
    return page
