"""A run's callbacks as events of a track, and the queue of those that are to be written.

No I/O: who calls the recorder learns when it is time to write.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_redis_session._connections.forks import renew_in_child
from langchain_redis_session._runs import values
from langchain_redis_session._runs.outbox import Outbox

_MOST_OPEN = 10_000
"""So many runs may be open; more have been lost by whoever started them."""


@dataclass(frozen=True, slots=True)
class Due:
    """It is time to write.

    Attributes:
        upto: How many events, of all that were ever added.
        may_block: Whether whoever ran this waits for it in this thread anyway.
    """

    upto: int
    may_block: bool


@dataclass(slots=True)
class _OpenRun:
    kind: str
    name: str
    parent_id: UUID | None
    begun_ns: int
    place: object
    """The task that started it; None outside of event loops."""


class Recorder:
    """Turns callbacks into payloads; each method gives a `Due` when it is time to write."""

    def __init__(
        self,
        track: str,
        *,
        inputs: bool,
        outputs: bool,
        max_chars: int | None,
        batch_size: int,
        max_waiting: int,
    ) -> None:
        self._track = track
        self._with_inputs, self._with_outputs = inputs, outputs
        self._most = max_chars
        self._batch_size = batch_size
        self._lock = threading.RLock()
        renew_in_child(self)
        self._open: dict[UUID, _OpenRun] = {}
        self.outbox = Outbox(max_waiting)

    def chain_start(self, serialized: Any, inputs: Any, **about: Any) -> Due | None:
        return self._start("chain", serialized, inputs, **about)

    def model_start(self, serialized: Any, prompts: Any, **about: Any) -> Due | None:
        only = prompts[0] if isinstance(prompts, list) and len(prompts) == 1 else prompts
        return self._start("model", serialized, only, **about)

    def tool_start(
        self, serialized: Any, input_str: Any, *, inputs: Any = None, **about: Any
    ) -> Due | None:
        return self._start("tool", serialized, input_str if inputs is None else inputs, **about)

    def retriever_start(self, serialized: Any, query: Any, **about: Any) -> Due | None:
        return self._start("retriever", serialized, query, **about)

    def end(self, outputs: Any, *, run_id: UUID, inputs: Any = None, **_: Any) -> Due | None:
        return self._end(run_id, inputs, outputs=outputs)

    def tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> Due | None:
        failure = values.tool_failure(output, self._most)
        return self._end(run_id, None, outputs=output, error=failure)

    def model_end(self, response: Any, *, run_id: UUID, **_: Any) -> Due | None:
        answers = values.model_answers(response) if self._with_outputs else None
        return self._end(run_id, None, outputs=answers, usage=values.count_tokens(response))

    def error(self, error: Any, *, run_id: UUID, inputs: Any = None, **_: Any) -> Due | None:
        text = values.show_error(error, self._most)
        return self._end(run_id, inputs, event="error", error=text)

    def _start(
        self,
        kind: str,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        name: Any = None,
        tags: Any = None,
        metadata: Any = None,
        tool_call_id: Any = None,
        **_: Any,
    ) -> Due | None:
        shown = values.show_name(name, values.serialized_name(serialized), kind)
        model = metadata.get("ls_model_name") if isinstance(metadata, Mapping) else None
        payload = {
            "event": "start",
            "kind": kind,
            "name": shown,
            "run_id": str(run_id),
            "parent_run_id": str(parent_run_id) if parent_run_id else "",
            "model": values.show_name(model) if kind == "model" else "",
            "tool_call_id": values.show_name(tool_call_id),
            "tags": values.show_tags(tags),
        }
        if self._with_inputs:
            payload["inputs"] = values.show_value(inputs, self._most)
        place = _place()
        run = _OpenRun(kind, shown, parent_run_id, time.perf_counter_ns(), place)
        with self._lock:
            while len(self._open) >= _MOST_OPEN:
                del self._open[next(iter(self._open))]
            self._open[run_id] = run
        return self._add(payload, is_last=False, may_block=place is None)

    def _end(
        self, run_id: UUID, inputs: Any, *, event: str = "end", outputs: Any = None, **members: Any
    ) -> Due | None:
        now_ns, place = time.perf_counter_ns(), _place()
        with self._lock:
            run = self._open.pop(run_id, None)
            is_last = run is None or run.parent_id is None or run.parent_id not in self._open
        payload: dict[str, Any] = {"event": event}
        if run is not None:
            payload |= {"kind": run.kind, "name": run.name}
        payload["run_id"] = str(run_id)
        if run is not None:
            payload["duration_ms"] = round((now_ns - run.begun_ns) / 1e6, 3)
        payload |= members
        if self._with_inputs and inputs is not None:  # of a stream: known only now
            payload["inputs"] = values.show_value(inputs, self._most)
        if self._with_outputs:
            payload["outputs"] = values.show_value(outputs, self._most)
        # A run of an event loop ends in a task of its own, a tool's excepted. The task that
        # started it means synchronous code, which happens to be run inside of a loop.
        is_synchronous = run is not None and run.kind != "tool" and place is run.place
        return self._add(payload, is_last, may_block=place is None or (is_last and is_synchronous))

    def _add(self, payload: dict[str, Any], is_last: bool, may_block: bool) -> Due | None:
        kept = {name: value for name, value in payload.items() if value not in (None, "", [], {})}
        upto, waiting = self.outbox.add(self._track, kept)
        if is_last or waiting % self._batch_size == 0:
            return Due(upto, may_block)
        return None


def _place() -> object:
    """The running task; None outside of event loops."""
    try:
        return asyncio.current_task() or asyncio.get_running_loop()
    except RuntimeError:
        return None
