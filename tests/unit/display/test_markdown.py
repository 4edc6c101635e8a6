"""Markdown in messages: rendered where it can be, and never more than text."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ToolMessage

from langchain_redis_session import Event
from langchain_redis_session._display import code, markdown
from langchain_redis_session._display.lists import EventList
from langchain_redis_session._display.markup import join
from langchain_redis_session._display.texts import LONG_TEXT
from tests.unit.display.pages import Page, read_page

EXAMPLE = """# Teas

Here is **what** I *found* ~~yesterday~~, see [our shop](https://example.org/a?b=1&c=2):

1. `Sencha`
2. Bancha
   - cheap

| tea | price |
|-----|-------|
| Sencha | 4 |

```python
def price(tea: str) -> int:  # in EUR
    return 4
```

> Prices include tax.

---
one line
another ![a leaf](https://example.org/leaf.png)
"""


def read(text: str) -> Page:
    return read_page(EventList([Event(AIMessage(text), time_ns=0)])._repr_html_())


def test_markdown_is_rendered() -> None:
    page = read(EXAMPLE)
    tags = [tag for tag, _ in page.elements]
    for tag in [
        "strong",
        "em",
        "s",
        "a",
        "ol",
        "ul",
        "li",
        "table",
        "th",
        "td",
        "pre",
        "blockquote",
        "hr",
        "br",
    ]:
        assert tag in tags, tag
    assert [a["href"] for a in page.all("a")] == [
        "https://example.org/a?b=1&c=2",
        "https://example.org/leaf.png",
    ]
    assert "image: a leaf" in page.texts
    assert not page.all("img")
    assert not set(["h1", "h2", "h3"]) & set(tags)  # Jupyter would list them as the notebook's


def test_code_is_coloured_and_stays_the_same() -> None:
    page = read(EXAMPLE)
    assert "def price(tea: str) -> int:  # in EUR\n    return 4\n" in page.text
    for style in ("k", "c", "n"):
        assert page.styled(style) == ["span"] * len(page.styled(style)) != [], style


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java&#115;cript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "//example.org/a",
        "/etc/passwd",
        "#top",
        "ftp://example.org",
        " javascript:alert(1)",
        "http:javascript:alert(1)",
    ],
)
def test_links_go_to_the_web_or_to_a_mailbox(target: str) -> None:
    for text in (f"[a]({target})", f"[a](<{target}>)", f"<{target}>", f"![a]({target})"):
        assert not read(text).all("a")
    assert len(read("[a](mailto:ann@example.org) <https://example.org>").all("a")) == 2


PIECES = st.sampled_from(
    [
        *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!--", "-->", "</div>"),
        *("[a](", ")", "![", "](http://x", "](javascript:x)", '"onclick=x', '<http://a"b>'),
        *("```", "~~~html\n", "\n", "\n\n", "> ", "- ", "1. ", "99999999999999999999. ", "# "),
        *("    ", "| a |", "\n|--|--|\n", "**", "_", "~~", "`", "\\", "&lt;", "&#60;", "&quot;"),
        *("a", " ", "$x$", "\x00", "\ud800", "\u202e", "\u2028", "\t", "\r", "[a]: ", "]]>"),
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_no_markdown_becomes_more_than_it_may_be(text: str) -> None:
    read(text)


@pytest.mark.parametrize("language", sorted(code._NAMES))  # noqa: SLF001
def test_code_of_each_language_stays_the_same(language: str) -> None:
    text = '<b>\'x\'</b> # 1\n+ a\n- b\n\n  @x def f("y"): {"z": 2.5} // c\n'
    parts = code.highlight(text, language)
    assert code._load(code._NAMES[language]), f"pygments knows no {language}"  # noqa: SLF001
    assert Page(join(parts)).text == text


def test_a_language_that_nobody_knows_is_plain() -> None:
    assert code.highlight("x = 1", "klingon") == ["x = 1"]
    assert code.highlight("x = 1", "") == ["x = 1"]


def test_pygments_looks_for_no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("pygments.plugin.iter_entry_points", refuse)
    for language in ("python", "some_plugin", "../x"):
        code._load.cache_clear()  # noqa: SLF001
        read(f"```{language}\nx = 1\n```")


def test_the_end_of_a_long_text_is_folded() -> None:
    paragraphs = [f"Paragraph {n} **bold**. {'word ' * 20}" for n in range(60)]
    page = read("\n\n".join(paragraphs))
    assert len(page.all("details")) == 1
    assert len(page.all("strong")) == 60
    assert any(re.fullmatch(r"[0-9,]+ more characters", text) for text in page.texts)


@pytest.mark.parametrize("text", ["word " * LONG_TEXT, "**x** " * 10_000])
def test_a_text_of_one_long_piece_is_plain_and_folded(text: str) -> None:
    page = read(text)
    assert len(page.all("details")) == 1
    assert not page.all("strong")


def test_a_table_of_nothing_but_cells_is_plain() -> None:
    table = "\n".join(["|a" * 99, "|-" * 99, *["|1" * 99] * 80])
    assert read(f"hi\n\n{table[:999]}").all("td")
    page = read(f"hi\n\n{table}")
    assert not page.all("td")
    assert page.text.count("|1") >= 99 * 80 - 1  # one may be parted by the fold


def test_results_of_tools_are_no_markdown() -> None:
    page = read_page(
        EventList([Event(ToolMessage("**a**", tool_call_id="c"), time_ns=0)])._repr_html_()
    )
    assert "**a**" in page.texts


@pytest.mark.parametrize("library", ["markdown_it", "pygments"])
def test_without_the_extra_it_is_plain_text(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    markdown._load.cache_clear()  # noqa: SLF001
    code._load.cache_clear()  # noqa: SLF001
    monkeypatch.setitem(sys.modules, library, None)
    page = read(EXAMPLE)
    if library == "markdown_it":
        assert EXAMPLE in page.texts
    else:
        assert "def price(tea: str) -> int:  # in EUR\n    return 4\n" in page.texts
    markdown._load.cache_clear()  # noqa: SLF001
    code._load.cache_clear()  # noqa: SLF001


HEAVY = ["[", "![", "*a ", "**", "`", "> ", "- ", "_", "<", "&", "[a](", "|a", "\n|-|\n", "]("]


@pytest.mark.parametrize("piece", HEAVY)
def test_the_work_for_a_text_grows_as_the_text(piece: str) -> None:
    """In calls of functions, not in seconds."""

    def count_calls(times: int) -> int:
        calls = 0

        def note(frame: Any, event: str, argument: Any) -> None:
            nonlocal calls
            calls += event == "call"

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            markdown.render_markdown(piece * times)
        finally:
            sys.setprofile(before)
        return calls

    count_calls(1)  # loads what is needed
    assert count_calls(800) < 3 * count_calls(400) + 5000
