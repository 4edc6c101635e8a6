"""Code in colours, by pygments where that is installed (extra notebook)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import Any

from langchain_redis_session._display.guard import attempt
from langchain_redis_session._display.markup import Part
from langchain_redis_session._display.styles import tag

_MOST_CHARACTERS = 5_000
"""Lexers are regular expressions: what is longer stays as it is."""

# Known ones only: to look for a name, pygments would import whatever is installed for it.
_LEXERS = {
    "BashLexer": "bash sh shell zsh",
    "CLexer": "c h",
    "CSharpLexer": "csharp cs",
    "CppLexer": "cpp c++",
    "CssLexer": "css",
    "DiffLexer": "diff patch",
    "GoLexer": "go golang",
    "HtmlLexer": "html",
    "IniLexer": "ini cfg",
    "JavaLexer": "java",
    "JavascriptLexer": "javascript js jsx",
    "JsonLexer": "json jsonc",
    "KotlinLexer": "kotlin kt",
    "LuaLexer": "lua",
    "PythonConsoleLexer": "pycon",
    "PythonLexer": "python py python3",
    "SLexer": "r",
    "RubyLexer": "ruby rb",
    "RustLexer": "rust rs",
    "SqlLexer": "sql",
    "SwiftLexer": "swift",
    "TOMLLexer": "toml",
    "TypeScriptLexer": "typescript ts tsx",
    "XmlLexer": "xml",
    "YamlLexer": "yaml yml",
}
_NAMES = {name: lexer for lexer, names in _LEXERS.items() for name in names.split()}

_STYLES = {
    "Comment": "c",
    "Keyword": "k",
    "Literal.Number": "m",
    "Literal.String": "s",
    "Name.Builtin": "n",
    "Name.Class": "n",
    "Name.Decorator": "n",
    "Name.Function": "n",
    "Name.Tag": "k",
    "Operator.Word": "k",
    "Generic.Deleted": "d",
    "Generic.Inserted": "i",
}


def highlight(code: str, language: str) -> list[Part]:
    """Give code as parts, coloured where the language is known; the text stays the same."""
    name = _NAMES.get(language.lower())
    if name is None or len(code) > _MOST_CHARACTERS:
        return [code]
    parts: list[Part] = attempt(lambda: list(_colour(code, _load(name))), lambda _: [])
    return parts or [code]


@cache
def _load(name: str) -> Any:
    from pygments import lexers  # type: ignore[import-untyped, unused-ignore]

    return getattr(lexers, name)(stripnl=False, ensurenl=False)


def _colour(code: str, lexer: Any) -> Iterator[Part]:
    styled = ((_style_of(token), text) for token, text in lexer.get_tokens(code))
    for style, group in groupby(styled, key=lambda pair: pair[0]):
        text = "".join(text for _, text in group)
        yield tag("span", style, text) if style else text


def _style_of(token: Any) -> str:
    """Give the style of the nearest kind of token that has one."""
    for length in range(len(token), 0, -1):
        if style := _STYLES.get(".".join(token[:length])):
            return style
    return ""
