"""Runs as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from langchain_redis_session._display.shown import ShownRun

_DEEPEST_INDENT = 40
_LONGEST_ERROR = 200


def visible_runs(roots: Iterable[ShownRun]) -> Iterator[tuple[int, str, ShownRun]]:
    """Give depth, indent as text, and run, depth first; hidden ones' children move up."""
    stack = [(0, "", "", run) for run in reversed(_visible(roots))]
    while stack:
        depth, indent, below, run = stack.pop()
        yield depth, indent, run
        is_deep = depth >= _DEEPEST_INDENT
        last = True
        for child in reversed(_visible(run.children)):
            first, rest = ("└─ ", "   ") if last else ("├─ ", "│  ")
            stack.append((depth + 1, below + first, below if is_deep else below + rest, child))
            last = False


def describe_run(run: ShownRun) -> str:
    """Say in a line what a run was."""
    name = " ".join(run.name.split()) or "…"
    parts = [format_duration(run.duration_ms), format_usage(run.usage)]
    if run.error:
        error = " ".join(run.error.split())
        parts.append(error if len(error) <= _LONGEST_ERROR else f"{error[:_LONGEST_ERROR]}…")
    kind = f" ({run.kind})" if run.kind else ""
    return f"{name}{kind} {', '.join(part for part in parts if part)}"


def total_usage(runs: Iterable[ShownRun]) -> dict[str, int]:
    """Add up tokens."""
    total: dict[str, int] = {}
    for run in runs:
        for name, count in run.usage.items():
            total[name] = total.get(name, 0) + count
    return total


def format_usage(usage: Mapping[str, int]) -> str:
    """Say how many tokens went in and out.

    >>> format_usage({"input_tokens": 1200, "output_tokens": 5})
    '1,200 → 5 tokens'
    """
    if "input_tokens" in usage or "output_tokens" in usage:
        return f"{usage.get('input_tokens', 0):,} → {usage.get('output_tokens', 0):,} tokens"
    return f"{usage['total_tokens']:,} tokens" if "total_tokens" in usage else ""


def format_duration(duration_ms: float | None) -> str:
    """Give a duration as people say it.

    >>> [format_duration(ms) for ms in (0.04, 4.56, 123.4, 1234, 65_000, 7_500_000)]
    ['0.04 ms', '4.6 ms', '123 ms', '1.23 s', '1 min 5 s', '2 h 5 min']
    >>> format_duration(None)
    'not ended'
    """
    if duration_ms is None:
        return "not ended"
    if duration_ms < 0.995:
        return f"{duration_ms:.2f} ms"
    if duration_ms < 9.95:
        return f"{duration_ms:.1f} ms"
    if duration_ms < 999.5:
        return f"{duration_ms:.0f} ms"
    if duration_ms < 9_995:
        return f"{duration_ms / 1000:.2f} s"
    seconds = round(duration_ms / 1000)
    if seconds < 60:
        return f"{duration_ms / 1000:.1f} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _visible(runs: Iterable[ShownRun]) -> list[ShownRun]:
    found, stack = [], list(runs)[::-1]
    while stack:
        run = stack.pop()
        if run.is_hidden:
            stack += reversed(run.children)
        else:
            found.append(run)
    return found
