"""OpenTelemetry: spans and metrics of a service, with `enable_tracing=True`.

The only module that knows OpenTelemetry (extra: otel), and imports it only when asked to. The
names here are part of the interface.
"""

from __future__ import annotations

import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from langchain_redis_session._connections.driver import VERSION
from langchain_redis_session._flow.counters import Counters
from langchain_redis_session._observe.operations import PERSIST
from langchain_redis_session.errors import (
    BackendUnavailableError,
    ConfigurationError,
    EventRejectedError,
    EventTooLargeError,
    SessionNotFoundError,
    StateTooLargeError,
)
from langchain_redis_session.models import SessionKey

ATTRIBUTE_PREFIX = "redis_session."
METRIC_DURATION = "db.client.operation.duration"
METRIC_QUEUE_DEPTH = "redis_session.queue.depth"
METRIC_CORRUPT = "redis_session.events.corrupt"
METRIC_DEAD = "redis_session.events.dead"

_NAME = "langchain_redis_session"
# As the semantic conventions for database clients advise; in seconds.
_BOUNDARIES = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
# Only the texts of these are known to quote nothing that is to be stored.
_PLAIN_ERRORS = (
    BackendUnavailableError,
    EventRejectedError,
    EventTooLargeError,
    SessionNotFoundError,
    StateTooLargeError,
)

Attributes = dict[str, Any]


def locate(client: Any) -> Attributes:
    """Where a client's server is, as far as that can be seen; without credentials."""
    if client is None or type(client).__module__.startswith("fakeredis"):
        return {}
    if hasattr(client, "get_default_node"):  # of a cluster, which may not know its nodes yet
        node = client.get_default_node()
        return {"server.address": node.host, "server.port": node.port} if node else {}
    options = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
    found = {
        "server.address": options.get("host") or options.get("path"),
        "server.port": options.get("port"),
        "db.namespace": str(options.get("db") or 0),
    }
    return {name: value for name, value in found.items() if value is not None}


class Tracing:
    """The spans and metrics of one service.

    Args:
        counters: What the service counts.
        find_client: Gives a client that was made already, or None.
        count_queued: Tells how many appends wait.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """

    def __init__(
        self,
        counters: Counters,
        find_client: Callable[[], Any],
        count_queued: Callable[[], int],
    ) -> None:
        try:
            from opentelemetry import context, trace
        except ImportError:
            raise ConfigurationError(
                "enable_tracing=True needs OpenTelemetry: "
                "pip install 'langchain-redis-session[otel]'"
            ) from None
        self.trace, self.context = trace, context
        self.counters, self._find_client = counters, find_client
        self.count_queued = count_queued
        self._address: Attributes = {}
        self.tracer = trace.get_tracer(_NAME, VERSION)
        self.duration = _open_instruments()
        sources.add(self)
        weakref.finalize(self, _keep_counts, counters).atexit = False

    def address(self) -> Attributes:
        """The server's attributes; empty until the first client was made."""
        if not self._address:
            self._address = locate(self._find_client())
        return self._address

    def start(self, operation: str, key: SessionKey) -> OperationSpan:
        """Begin a span, below the caller's current one."""
        return OperationSpan(self, operation, key)


class OperationSpan:
    """The span of one operation, current until its end."""

    def __init__(self, tracing: Tracing, operation: str, key: SessionKey) -> None:
        self._tracing, self.operation = tracing, operation
        self.attributes: Attributes = {
            "db.system.name": "redis",
            "db.operation.name": operation,
            f"{ATTRIBUTE_PREFIX}app_name": key.app_name,
            f"{ATTRIBUTE_PREFIX}user_id": key.user_id,
            f"{ATTRIBUTE_PREFIX}session_id": key.session_id,
        }
        self._span = tracing.tracer.start_span(
            operation,
            kind=tracing.trace.SpanKind.CLIENT,
            attributes={**self.attributes, **tracing.address()},
        )
        self._context = tracing.trace.set_span_in_context(self._span)
        self._token = tracing.context.attach(self._context)

    def end(
        self, counters: Mapping[str, Any], duration_s: float, error: BaseException | None
    ) -> None:
        """End the span."""
        tracing = self._tracing
        address = tracing.address()
        if self._span.is_recording():
            self._span.set_attributes(address)
            self._span.set_attributes(
                {
                    ATTRIBUTE_PREFIX + name: value
                    for name, value in counters.items()
                    if isinstance(value, (bool, int, float, str))
                }
            )
        labels = {
            "db.system.name": "redis",
            "db.operation.name": self.operation,
            **address,
        }
        if error is not None:
            labels["error.type"] = _name_error(error)
            _record_error(tracing, self._span, error)
        tracing.duration.record(duration_s, labels)
        tracing.context.detach(self._token)
        self._span.end()

    def follow(
        self, on_settled: Callable[[Exception | None], Any] | None
    ) -> Callable[[Exception | None], Any]:
        """Make what ends the span of a queued write, and then calls `on_settled`."""
        tracing, parent, attributes = self._tracing, self._context, self.attributes
        started_ns = time.time_ns()

        def settle(error: Exception | None) -> None:
            span = tracing.tracer.start_span(
                PERSIST,
                context=parent,
                kind=tracing.trace.SpanKind.CLIENT,
                attributes={**attributes, **tracing.address(), "db.operation.name": PERSIST},
                start_time=started_ns,
            )
            if error is not None:
                _record_error(tracing, span, error)
            span.end()
            if on_settled is not None:
                on_settled(error)

        return settle


def _name_error(error: BaseException) -> str:
    # Who is interrupted is told no more than that.
    return "Interrupted" if isinstance(error, GeneratorExit) else type(error).__name__


def _record_error(tracing: Tracing, span: Any, error: BaseException) -> None:
    # Not `record_exception`: its stack trace would quote texts of other people's errors.
    name = _name_error(error)
    attributes = {"exception.type": name}
    if isinstance(error, _PLAIN_ERRORS):
        attributes["exception.message"] = str(error)
    span.add_event("exception", attributes)
    span.set_attribute("error.type", name)
    span.set_status(tracing.trace.Status(tracing.trace.StatusCode.ERROR, name))


# Instruments belong to the process: services that come and go share them.
sources: weakref.WeakSet[Tracing] = weakref.WeakSet()
"""The services that are counted."""
_gone: Counter[str] = Counter()


def _keep_counts(counters: Counters) -> None:
    _gone[METRIC_CORRUPT] += counters.corrupt_entries
    _gone[METRIC_DEAD] += counters.dead_events


@cache
def _open_instruments() -> Any:
    """Make the instruments; that of durations is handed out, the others are asked."""
    from opentelemetry import metrics

    meter = metrics.get_meter(_NAME, VERSION)

    def watch(name: str, read: Callable[[Tracing], int]) -> Callable[[Any], Iterable[Any]]:
        def observe(_options: Any) -> Iterable[Any]:
            value = _gone[name] + sum(read(tracing) for tracing in list(sources))
            return [metrics.Observation(value, {"db.system.name": "redis"})]

        return observe

    meter.create_observable_up_down_counter(
        METRIC_QUEUE_DEPTH,
        [watch(METRIC_QUEUE_DEPTH, lambda tracing: tracing.count_queued())],
        unit="{append}",
        description="Appends that write-behind has accepted and not yet written.",
    )
    meter.create_observable_counter(
        METRIC_CORRUPT,
        [watch(METRIC_CORRUPT, lambda tracing: tracing.counters.corrupt_entries)],
        unit="{event}",
        description="Unreadable entries that reads skipped.",
    )
    meter.create_observable_counter(
        METRIC_DEAD,
        [watch(METRIC_DEAD, lambda tracing: tracing.counters.dead_events)],
        unit="{event}",
        description="Events that write-behind gave up.",
    )
    options: dict[str, Any] = {
        "unit": "s",
        "description": "Duration of operations on sessions.",
        "explicit_bucket_boundaries_advisory": _BOUNDARIES,
    }
    try:
        return meter.create_histogram(METRIC_DURATION, **options)
    except TypeError:  # opentelemetry-api before 1.30
        del options["explicit_bucket_boundaries_advisory"]
        return meter.create_histogram(METRIC_DURATION, **options)
