"""Make the pictures beside this file: what Jupyter shows, of real objects.

    make pictures

Needs Chromium or Chrome (on the PATH, or named by $CHROMIUM).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import ToolException, tool
from PIL import Image, ImageChops

from langchain_redis_session import (
    Event,
    RedisSessionService,
    Session,
    SessionKey,
    TrackCallbackHandler,
    read_runs,
)
from langchain_redis_session.runs import RunTree

HERE = Path(__file__).parent
WIDTH, SCALE = 880, 1.5
LARGEST_FILE = 150_000

# The light theme of JupyterLab, as far as it is seen here.
PAGE = """<!doctype html><meta charset="utf-8"><style>
:root {{
  --jp-ui-font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  --jp-code-font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace;
  --jp-content-font-color1: rgba(0, 0, 0, .87);
  --jp-content-link-color: #1976d2;
  --jp-mirror-editor-keyword-color: #008000;
  --jp-mirror-editor-def-color: #0000ff;
  --jp-mirror-editor-string-color: #ba2121;
  --jp-mirror-editor-number-color: #008800;
  --jp-mirror-editor-comment-color: #408080;
}}
body {{ margin: 10px; background: #fff; color: rgba(0, 0, 0, .87); }}
.cell {{ display: grid; grid-template-columns: 3.6em 1fr; font: 13px var(--jp-code-font-family); }}
.prompt {{ color: #307fc1; padding: 7px 6px 0 0; text-align: right; white-space: nowrap; }}
.input {{ border: 1px solid #e0e0e0; background: #f5f5f5; padding: 6px 8px; margin-bottom: 6px; }}
</style><div class="cell">
<div class="prompt">[{number}]:</div><div class="input">{code}</div>
<div class="prompt"></div><div>{output}</div>
</div>"""


def make_session() -> Session:
    """Talk about tea, with a tool, Markdown and state."""
    service = RedisSessionService("memory://pictures")
    key = SessionKey("shop", "ann", "tea-talk")
    result = '{"found": ["Sencha", "Bancha"]}'
    call = {"name": "find_tea", "args": {"kind": "green", "max_price": 9}, "id": "call-1"}
    answer = (
        "We have **two green teas** below 9 EUR:\n\n"
        "1. *Sencha*, 4.00 EUR: fresh and grassy\n"
        "2. *Bancha*, 3.50 EUR: mild, little caffeine\n\n"
        "```python\ntotal = 2 * 4.00 + 3.50  # what you asked for: 11.50 EUR\n```"
    )
    used = {"input_tokens": 412, "output_tokens": 24, "total_tokens": 436}
    also_used = {"input_tokens": 471, "output_tokens": 88, "total_tokens": 559}
    said = [
        (0, HumanMessage("Which green teas do you have? I'd like two of the first."), {}),
        (2, AIMessage("", tool_calls=[call], usage_metadata=used), {}),
        (3, ToolMessage(result, tool_call_id="call-1", name="find_tea"), {}),
        (6, AIMessage(answer, usage_metadata=also_used), {"cart": ["Sencha", "Sencha", "Bancha"]}),
        (31, HumanMessage("Lovely, thank you!"), {}),
    ]
    now_ns = time.time_ns()
    state = {"user:language": "en", "app:currency": "EUR"}
    service.create_session(*key.scope, state=state)
    service.append_events(
        key,
        [
            Event(message, state_delta=delta, time_ns=now_ns + seconds * 10**9)
            for seconds, message, delta in said
        ],
    )
    session = service.get_session(key)
    assert session is not None
    return session


@tool
def look_up(tea: str) -> float:
    """Find the price of a tea in EUR."""
    time.sleep(0.21 if tea == "Sencha" else 0.13)
    return 4.0 if tea == "Sencha" else 3.5


@tool
def convert(amount: float, currency: str) -> float:
    """Convert an amount of EUR."""
    time.sleep(0.05)
    if currency != "USD":
        raise ToolException(f"no rate for {currency!r}, only for USD")
    return round(amount * 1.1, 2)


convert.handle_tool_error = True


class TeaModel(GenericFakeChatModel):
    """Says its lines after some thought."""

    def _generate(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        time.sleep(0.16)
        return super()._generate(*args, **kwargs)

    def bind_tools(self, tools, **kwargs):  # type: ignore[no-untyped-def]
        """Take any tools."""
        return self


def make_runs() -> RunTree:
    """Let an agent run, with tools side by side, one of which fails."""

    def say(text: str, tokens: tuple[int, int], *calls: tuple[str, dict[str, object]]) -> AIMessage:
        usage = {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)}
        made = [
            {"name": name, "args": args, "id": f"{tokens[0]}-{place}"}
            for place, (name, args) in enumerate(calls)
        ]
        return AIMessage(text, tool_calls=made, usage_metadata=usage)

    lines = [
        say(
            "",
            (120, 31),
            ("look_up", {"tea": "Sencha"}),
            ("look_up", {"tea": "Bancha"}),
            ("convert", {"amount": 1, "currency": "dollars"}),
        ),
        say("", (203, 12), ("convert", {"amount": 7.5, "currency": "USD"})),
        say("8.25 US dollars.", (240, 9)),
    ]
    service = RedisSessionService("memory://pictures")
    key = service.create_session("shop", "ann").key
    agent = create_agent(TeaModel(messages=iter(lines)), [look_up, convert], name="clerk")
    handler = TrackCallbackHandler(service, key)
    agent.invoke(
        {"messages": [("human", "What are a Sencha and a Bancha in dollars?")]},
        {"callbacks": [handler]},
    )
    return read_runs(service.get_track_events(key, "runs"))


def take_picture(name: str, number: int, code: str, output: str) -> None:
    """Let a browser draw a cell; cut the picture to what is drawn."""
    browser = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if browser is None:
        sys.exit("There is no Chromium here; name one by CHROMIUM=…")
    path = HERE / f"{name}.png"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page = Path(folder) / "page.html"
        page.write_text(PAGE.format(number=number, code=code, output=output), "utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
        options += ["--no-first-run", "--disable-background-networking", "--hide-scrollbars"]
        options += [
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={folder}/user",
        ]
        options += [f"--window-size={WIDTH},1400", f"--force-device-scale-factor={SCALE}"]
        subprocess.run(
            [browser, *options, f"--screenshot={path}", page.as_uri()],
            check=True,
            timeout=120,
            stderr=subprocess.DEVNULL,
        )
    picture = Image.open(path).convert("RGB")
    blank = Image.new("RGB", picture.size, (255, 255, 255))
    box = ImageChops.difference(picture, blank).getbbox()
    assert box is not None, "nothing was drawn"
    picture = picture.crop((0, 0, picture.width, box[3] + 12))
    picture.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size:,} bytes")
    assert path.stat().st_size < LARGEST_FILE


if __name__ == "__main__":
    take_picture("transcript", 3, "service.get_session(key)", make_session()._repr_html_())
    code = 'read_runs(service.get_track_events(key, "runs"))'
    take_picture("timeline", 4, code, make_runs()._repr_html_())
