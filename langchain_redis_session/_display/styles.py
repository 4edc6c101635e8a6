"""How things look: classes, and the one style sheet of each page with the rules that it uses.

Colours are those of JupyterLab's or VS Code's theme where there is one; else such as go with
light and dark pages. Where a style sheet is dropped, as GitHub and JupyterLab (until it trusts a
notebook) do, elements and spaces remain: pages have to read well without a single style.
"""

from __future__ import annotations

import re

from langchain_redis_session._display.markup import Markup, Part, element

_GREY = "rgba(128,128,128,.35)"
_BAR = "scrollbar-color:rgba(128,128,128,.5) transparent"
_LINE = f"border-top:1px solid {_GREY}"
_PALE = "rgba(128,128,128,.12)"
_ROLE_COLOURS = {
    "user": "#2563eb",
    "assistant": "#15803d",
    "tool": "#a84b0b",
    "system": "#7c3aed",
    "other": "#5b6472",
}
_MONO = (
    "font-family:var(--jp-code-font-family,var(--vscode-editor-font-family,"
    "ui-monospace,Menlo,Consolas,monospace))"
)
_WRAP = "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;"
_BADGE = (
    "display:inline-block;min-width:5.4em;padding:0 .5em;border-radius:.8em;text-align:center;"
    "font-size:.85em;font-weight:600;line-height:1.6;color:#fff;background:"
)
_CELL = (
    "padding:.15em 1em .15em 0;border:0;background:none;text-align:left;vertical-align:baseline;"
    "font-size:inherit;color:inherit;max-width:none;"
)
_CODE = "background:none;padding:0;border:0;color:inherit;font-size:.92em;" + _MONO
_TEXT = "text-align:start;color:inherit;font-size:inherit;line-height:inherit;"


def _syntax(jupyter: str, vscode: str, otherwise: str) -> str:
    return (
        f"color:var(--jp-mirror-editor-{jupyter}-color,"
        f"var(--vscode-{vscode},{otherwise}));background:none"
    )


STYLES: dict[str, str] = {
    # A page and its parts.
    "box": (
        f"max-width:62em;margin:.3em 0;border:1px solid {_GREY};border-radius:.5em;"
        "overflow:hidden;font-size:13px;line-height:1.5;text-align:left;"
        "font-family:var(--jp-ui-font-family,var(--vscode-font-family,system-ui,sans-serif));"
        "color:var(--jp-content-font-color1,var(--vscode-foreground,inherit))"
    ),
    "head": "padding:.6em 1em;background:rgba(128,128,128,.1)",
    "scroll": f"{_LINE};{_BAR}",
    # Opens at its end; what it holds is one element, so that its order is the one that is read.
    "newest": f"display:flex;flex-direction:column-reverse;{_LINE};{_BAR}",
    "newest content": "flex:none;padding:.01em 0",
    "section": f"padding:.6em 1em;{_LINE}",
    "body": f"padding:.6em 1em;{_LINE}",
    "scrolled": "padding:.6em 1em",
    "picture": f"padding:.2em 0 .4em;overflow-x:auto;{_LINE};{_BAR}",
    "drawing": "display:block;max-width:100%;height:auto;min-width:600px",
    "row": "padding:.15em 0",
    "line": "display:flex;flex-wrap:wrap;align-items:baseline;gap:0 .75em;padding:.15em 0",
    "note": (
        "display:flex;flex-wrap:wrap;align-items:baseline;gap:0 .75em;"
        "padding:.25em 1em .25em 1.14em;font-size:.92em;opacity:.72;overflow-wrap:anywhere"
    ),
    # Words.
    "title": "font-size:1.15em;font-weight:600;overflow-wrap:anywhere;unicode-bidi:isolate",
    "dim": "opacity:.72;overflow-wrap:anywhere;unicode-bidi:isolate",
    "gap": "margin-left:.5em;opacity:.72;overflow-wrap:anywhere;unicode-bidi:isolate",
    "strong": "font-weight:600;overflow-wrap:anywhere;unicode-bidi:isolate",
    "error": (
        "margin-left:.5em;padding:0 .5em;font-weight:600;border-radius:.8em;color:#fff;"
        "background:#c81e1e"
    ),
    "time": "white-space:nowrap",
    "end": "margin-left:auto;font-size:.92em;opacity:.72;white-space:nowrap",
    "text": f"margin:.25em 0 0;{_TEXT}{_WRAP}",
    "code": f"{_WRAP}{_CODE}",
    "fold": "margin:.3em 0 0",
    "summary": "display:list-item;cursor:pointer;overflow-wrap:anywhere",
    "inside": "margin:.3em 0 0;padding:0 0 0 1em",
    "pre": (
        f"margin:.3em 0 0;padding:.5em .75em;max-height:24em;overflow:auto;{_BAR};"
        f"{_WRAP}border:0;"
        f"border-radius:.3em;background:{_PALE};color:inherit;font-size:.92em;"
        f"line-height:1.45;{_MONO}"
    ),
    # Images and the like.
    "media": (
        "display:inline-block;margin:.35em .5em 0 0;padding:.25em .75em;border-radius:.3em;"
        f"border:1px dashed {_GREY};overflow-wrap:anywhere;unicode-bidi:isolate"
    ),
    "thumbnail": (
        "display:block;max-width:16em;max-height:12em;width:auto;height:auto;margin:.25em 0;"
        "border-radius:.2em"
    ),
    # Tables: no letter of a name goes to the next line, what does not fit scrolls.
    "wide": f"overflow-x:auto;{_BAR}",
    "table": "margin:.2em 0 0;border:0;border-collapse:collapse;font-size:inherit;color:inherit",
    "table line": "background:none",
    "name": f"{_CELL}white-space:nowrap",
    # Names and values: where there is no room beside a name, its value goes below.
    "pairs": (
        "display:block;margin:.2em 0 0;border:0;background:none;font-size:inherit;color:inherit"
    ),
    "pair": "display:flex;flex-wrap:wrap;align-items:baseline;padding:0;border:0;background:none",
    "pair name": f"{_CELL}flex:0 0 auto;min-width:min(14em,42%);white-space:nowrap",
    "pair value": f"{_CELL}flex:1 1 10em;overflow-wrap:anywhere",
    "name code": f"{_CODE};white-space:nowrap;unicode-bidi:isolate",
    "heading": f"{_CELL}font-weight:600;white-space:nowrap;opacity:.72",
    "number": f"{_CELL}white-space:nowrap;font-variant-numeric:tabular-nums",
    "cell": f"{_CELL}min-width:18em;overflow-wrap:anywhere",
    # Markdown.
    "p": f"margin:.35em 0 0;{_TEXT}{_WRAP}",
    "p strong": f"margin:.5em 0 0;font-weight:700;{_TEXT}{_WRAP}",
    "list": f"margin:.3em 0 0;padding:0 0 0 1.6em;{_TEXT}",
    "item": f"margin:.1em 0 0;{_TEXT}",
    "quote": f"margin:.35em 0 0;padding:0 0 0 .75em;border-left:.2em solid {_GREY};{_TEXT}",
    "rule": f"margin:.6em 0;border:0;border-top:1px solid {_GREY};height:0;background:none",
    "mark": "",
    "inline code": (
        f"{_WRAP}padding:.05em .3em;border:0;border-radius:.25em;background:{_PALE};"
        f"color:inherit;font-size:.92em;{_MONO}"
    ),
    "link": "color:var(--jp-content-link-color,var(--vscode-textLink-foreground,#3b82f6))",
    "grid": (
        "margin:.4em 0 0;border:0;border-collapse:collapse;font-size:inherit;color:inherit;"
        "display:block;overflow-x:auto"
    ),
    "grid cell": (
        f"padding:.2em .75em;border:1px solid {_GREY};background:none;text-align:left;"
        "vertical-align:top;font-size:inherit;color:inherit;max-width:none"
    ),
    # Code: keywords, names, strings, numbers, comments, insertions, deletions. Pages have hundreds.
    "k": _syntax("keyword", "symbolIcon-keywordForeground", "#a855f7"),
    "n": _syntax("def", "symbolIcon-functionForeground", "#3b82f6"),
    "s": _syntax("string", "debugTokenExpression-string", "#d1571f"),
    "m": _syntax("number", "debugTokenExpression-number", "#0d9488"),
    "c": _syntax("comment", "descriptionForeground", "#7c8591"),
    "i": _syntax("string", "debugTokenExpression-number", "#16a34a"),
    "d": _syntax("error", "errorForeground", "#dc2626"),
    **{f"badge {role}": _BADGE + colour for role, colour in _ROLE_COLOURS.items()},
    **{
        f"message {role}": f"margin:.6em 0;padding:0 1em 0 .8em;border-left:.25em solid {colour}"
        for role, colour in _ROLE_COLOURS.items()
    },
}
"""The declarations of each style."""

FRAME = "max-height:46em;overflow:auto"
"""What scrolls says so itself: without a style sheet, a long page would fill the notebook."""

_PRINTED = "@media print{&{max-height:none!important}}"
# Further rules of a style, where & is its selector. A browser that knows where to begin needs no
# reversed flow, in which what is unfolded grows upwards.
_FURTHER = {
    "scroll": _PRINTED,
    "newest": _PRINTED + "@supports (scroll-initial-target:nearest){&{display:block}}",
    "newest content": '&::after{content:"";display:block;scroll-initial-target:nearest}',
}

_PREFIX = "lrs-"
CLASSES = {style: f"{_PREFIX}{style.replace(' ', '-')}" for style in STYLES}
"""The class of each style."""
_CLASS = re.compile(f'<[a-z]+ class="({_PREFIX}[a-z-]+)[ "]')

# Jupyter would typeset "$5 or $6" as mathematics.
PAGE = {"class": f"{CLASSES['box']} langchain-redis-session tex2jax_ignore mathjax_ignore"}
"""The attributes of a page."""


def tag(name: str, look: str, /, *parts: Part, **attributes: str) -> Markup:
    """Make an element that looks as one of the styles."""
    known = {"class": CLASSES[look]} if STYLES[look] else {}
    return element(name, *parts, **known, **attributes)


def make_sheet(markup: str) -> Markup:
    """Make the style sheet of a page: the rules of the styles that are in it."""
    used = set(_CLASS.findall(markup))
    rules = (_make_rule(style) for style in STYLES if CLASSES[style] in used)
    return element("style", Markup("".join(rules)))


def _make_rule(style: str) -> str:
    # As strong as one of an id, so that the page around (tables in Jupyter, say) has no say.
    selector = f".{CLASSES[style]}:not(#_)"
    return f"{selector}{{{STYLES[style]}}}{_FURTHER.get(style, '').replace('&', selector)}"


def role_style(role: str) -> str:
    """Give the role if it has a colour of its own."""
    return role if role in _ROLE_COLOURS else "other"
