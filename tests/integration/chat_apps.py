"""The demo's chat servers as real ones, and their clients."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import httpx
from langserve import RemoteRunnable
from typing_extensions import Self

from tests.processes import Child, start_python
from tests.servers import RedisServer, free_port
from tests.waits import PATIENCE_S, wait_until

PATIENT = httpx.Timeout(PATIENCE_S)
PLAIN = False  # no TLS here, and certificates take long to load


def headers_of(user: str) -> dict[str, str]:
    return {"authorization": f"Bearer token-of-{user}"}


class ChatApp:
    """A server of `demo.servers` under uvicorn, with two workers, in a `with`.

    Attributes:
        errors: What its processes have written to their standard errors, over all starts.
    """

    module = ""

    def __init__(self, redis: RedisServer) -> None:
        self.errors = ""
        self._redis = redis
        self._port = free_port()
        self._stack = ExitStack()
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start it, and wait until a worker answers."""
        command = ["-m", "uvicorn", f"demo.servers.{self.module}:app", "--workers", "2"]
        options = ["--port", str(self._port), "--log-level", "warning"]
        env = {**os.environ, "REDIS_URL": self._redis.url, "PYTHONWARNINGS": "default"}
        child = start_python(*command, *options, env=env, deadline_s=5 * PATIENCE_S)
        self._child = self._stack.enter_context(child)
        with self.client() as client:
            wait_until(lambda: _answers(client))

    def stop(self) -> None:
        """Stop it as an administrator would."""
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGTERM)
        # The socket that it listens on, uvicorn leaves to its end.
        listening = f"laddr=('127.0.0.1', {self._port})>"
        for line in self._child.finish().stderr.splitlines(keepends=True):
            if listening not in line and "Enable tracemalloc" not in line:
                self.errors += line
        self._child = None

    def client(self, user: str = "ann") -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers=headers_of(user), timeout=PATIENT, verify=PLAIN
        )

    def aclient(self, user: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url, headers=headers_of(user), timeout=PATIENT, verify=PLAIN
        )

    def request(self, session_id: str | None, text: str, **configurable: Any) -> dict[str, Any]:
        """Give the arguments of a POST that says something, and streams the answer."""
        raise NotImplementedError

    async def ask(self, user: str, session_id: str, text: str) -> str:
        """Say something; give the whole answer, which must have come in pieces."""
        pieces = [piece async for piece in self.stream(user, session_id, text)]
        assert len(pieces) > 2
        return "".join(pieces)

    def stream(self, user: str, session_id: str, text: str) -> AsyncIterator[str]:
        raise NotImplementedError


class FastApiChat(ChatApp):
    module = "chat"

    def request(self, session_id: str | None, text: str, **configurable: Any) -> dict[str, Any]:
        body = {"text": text, **configurable}
        return {"url": f"/chat/{session_id or ''}", "json": body}

    async def stream(self, user: str, session_id: str, text: str) -> AsyncIterator[str]:
        async with self.aclient(user) as client:
            post = client.stream("POST", **self.request(session_id, text))
            async with post as response:
                assert response.status_code == 200, await response.aread()
                lines = [line async for line in response.aiter_lines()]
        assert "event: end" in lines
        for line in lines:
            if line.startswith("data: ") and len(line) > 6:
                yield line[6:]


class LangServeChat(ChatApp):
    module = "langserve_chat"

    def request(self, session_id: str | None, text: str, **configurable: Any) -> dict[str, Any]:
        if session_id is not None:
            configurable["session_id"] = session_id
        body = {"input": {"text": text}, "config": {"configurable": configurable}}
        return {"url": "/chat/stream", "json": body}

    async def stream(self, user: str, session_id: str, text: str) -> AsyncIterator[str]:
        remote: RemoteRunnable[Any, Any] = RemoteRunnable(
            f"{self.url}/chat/",
            headers=headers_of(user),
            timeout=PATIENCE_S,
            verify=PLAIN,
        )
        # A client that says that it is somebody else.
        config: Any = {"configurable": {"session_id": session_id, "user_id": "somebody"}}
        async for piece in remote.astream({"text": text}, config):
            yield piece.text
        await remote.async_client.aclose()
        remote.sync_client.close()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/openapi.json").status_code == 200
    except httpx.TransportError:
        return False
