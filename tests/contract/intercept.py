"""A client that sees every request on its way, and may send it more than once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.contract.backends import Backend, Verbs

Commands = list[tuple[Any, ...]]


class Interceptor:
    """Stands in front of a client.

    Attributes:
        requests: What was sent: for each round trip its commands.
        times: How often each request is sent; its reply is the last one's. (This is what
            a client does that had no reply in time, while the server had done it.)
        before: Called with the commands of each request; may raise in place of the server.
    """

    def __init__(
        self, client: Any, times: int = 1, before: Callable[[Commands], None] | None = None
    ) -> None:
        self.client = client
        self.times = times
        self.before = before
        self.requests: list[Commands] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def note(self, commands: Commands) -> None:
        if self.before is not None:
            self.before(commands)
        self.requests.append(commands)

    def send(self, request: Callable[[], Any], commands: Commands) -> Any:
        self.note(commands)
        for _ in range(self.times - 1):
            request()
        return request()

    def execute_command(self, *command: Any, **options: Any) -> Any:
        return self.send(lambda: self.client.execute_command(*command, **options), [command])

    def pipeline(self, **options: Any) -> Batch:
        return Batch(self, options)


class AsyncInterceptor(Interceptor):
    """Stands in front of an async client."""

    async def send(self, request: Callable[[], Awaitable[Any]], commands: Commands) -> Any:
        self.note(commands)
        for _ in range(self.times - 1):
            await request()
        return await request()

    async def execute_command(self, *command: Any, **options: Any) -> Any:
        return await self.send(lambda: self.client.execute_command(*command, **options), [command])


class Batch:
    """A pipeline of an intercepted client."""

    def __init__(self, owner: Interceptor, options: dict[str, Any]) -> None:
        self._owner, self._options = owner, options
        self._commands: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def execute_command(self, *command: Any, **options: Any) -> None:
        self._commands.append((command, options))

    def execute(self, **options: Any) -> Any:
        def request() -> Any:
            pipeline = self._owner.client.pipeline(**self._options)
            for command, command_options in self._commands:
                pipeline.execute_command(*command, **command_options)
            return pipeline.execute(**options)

        # Without the proof that the replies are its own.
        commands = [command for command, _ in self._commands if command[0] != "ECHO"]
        return self._owner.send(request, commands)


def intercept(
    backend: Backend,
    make_verbs: Callable[..., Verbs],
    *,
    times: int = 1,
    before: Callable[[Commands], None] | None = None,
    **options: Any,
) -> tuple[Verbs, Interceptor]:
    """Make a service whose requests are seen; give its verbs, and who sees them."""
    if backend.mode == "sync":
        interceptor = Interceptor(backend.client, times, before)
        return make_verbs(client=interceptor, **options), interceptor
    interceptor = AsyncInterceptor(backend.make_async_client(), times, before)
    return make_verbs(async_client=interceptor, **options), interceptor
