"""Child processes: each has a deadline, and ends with all the processes that it starts.

    assert run_python("-c", "print(1)").stdout == "1\\n"
    with start_python("-m", "tests.integration.some_program") as child:
        for line in child.lines():
            ...
    results = call_in_processes(write, [(url, 0), (url, 1)])

Nothing else in the tests starts a process. A child leads a session of its own, so that its
children are killed with it: at its deadline, and at the end of the `with`. A child that is
still there when this process dies is killed by the kernel (on Linux), however it died.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import pickle
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from typing_extensions import Self

from tests.waits import PATIENCE_S

if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
DEADLINE_S = 2 * PATIENCE_S  # what waits inside a child gives up sooner, and says for what

T = TypeVar("T")
Process = subprocess.Popen[bytes]

# Runs in the child, before its program: asks the kernel for a SIGKILL when the parent dies.
# (preexec_fn would do it without a second program, but warns in a process with threads.)
_LAUNCHER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""

# For the kernel, the parent is the *thread* that started the child: use one that stays.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawn")


def is_alive(pid: int) -> bool:
    """Say whether a process is there, on Linux; a zombie only waits to be reaped."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "State:\tZ" not in status


class ChildError(AssertionError):
    """A child that did not do what it was to do, with what it had printed until then."""


@dataclass(frozen=True)
class Ended:
    """What is left of a child: its exit status (or minus the signal) and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def launching(command: Sequence[str]) -> list[str]:
    """Give a command that runs `command` until it ends or this process does."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]


def spawn(
    command: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: IO[bytes],
    stderr: int | IO[bytes] = subprocess.STDOUT,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> Process:
    """Start a process that leads a session.

    The caller ends it, with `kill_all`; so a `Child` is for tests, and this for servers.
    """

    def start() -> Process:
        return subprocess.Popen(
            launching(command),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )

    return _spawner.submit(start).result(PATIENCE_S)


def kill_all(process: Process) -> None:
    """Kill a process and its children, whatever state they are in."""
    _kill_group(process.pid)
    process.wait(PATIENCE_S)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: only zombies are left
        os.killpg(pid, signal.SIGKILL)


class Child:
    """A process that was started, in a `with` that it does not outlive.

    Args:
        command: What to run.
        deadline_s: When whoever waits for it gives up.
        env: Its environment; this process's if None.

    Attributes:
        pid: Its process id.
        ends_at_s: The deadline, as `time.monotonic` tells it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        deadline_s: float = DEADLINE_S,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.command = list(command)
        self.deadline_s = deadline_s
        self.ends_at_s = time.monotonic() + deadline_s
        self._given = 0
        """How many bytes of the output were given as lines."""
        # Files and no pipes: a child never waits for a reader, and what it has started may
        # keep them open after its end.
        self._files = contextlib.ExitStack()
        self._stdout = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._stderr = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._process = spawn(
            command,
            env=env,
            stdin=subprocess.PIPE,
            stdout=self._stdout,
            stderr=self._stderr,
        )
        self.pid = self._process.pid
        assert self._process.stdin is not None
        self._stdin = self._files.enter_context(self._process.stdin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with self._files:
            kill_all(self._process)

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return _read(self._stdout.fileno())

    @property
    def stderr(self) -> str:
        """What it has written to its standard error so far."""
        return _read(self._stderr.fileno())

    def read_line(self) -> str:
        """Wait for the next line that it prints; fail at its end and at its deadline."""
        for line in self.lines():
            return line
        raise self._error(f"ended with {self._process.poll()} and printed no other line")

    def lines(self) -> Iterator[str]:
        """Give the lines that it prints as they come, until its end; fail at its deadline."""
        while True:
            has_ended = self._process.poll() is not None
            new = os.pread(self._stdout.fileno(), 1 << 16, self._given)
            line, newline, _ = new.partition(b"\n")
            if newline or (line and has_ended):
                self._given += len(line) + len(newline)
                yield line.decode()
            elif has_ended:
                return
            else:
                self._go_on_waiting()

    def skip(self) -> None:
        """Leave out what it has printed so far, where lines are given."""
        self._given = os.fstat(self._stdout.fileno()).st_size

    def say(self, line: str) -> None:
        """Write a line for it to read."""
        self._stdin.write(f"{line}\n".encode())
        self._stdin.flush()

    def kill(self) -> None:
        """Kill it as `kill -9` does, and nothing that it has started."""
        self._process.kill()

    def finish(self) -> Ended:
        """Wait for its end; fail at its deadline."""
        while self._process.poll() is None:
            self._go_on_waiting()
        return Ended(self._process.returncode, self.stdout, self.stderr)

    def _go_on_waiting(self) -> None:
        if time.monotonic() > self.ends_at_s:
            kill_all(self._process)
            raise self._error(f"was not done within {self.deadline_s:g} s")
        time.sleep(0.005)

    def _error(self, what: str) -> ChildError:
        printed = "".join(
            f"\nIts {name}:\n{text}"
            for name, text in (("output", self.stdout), ("errors", self.stderr))
            if text
        )
        return ChildError(f"{shlex.join(self.command)}\n{what}.{printed or ' It printed nothing.'}")


def _read(descriptor: int) -> str:
    # Without moving the place where the child writes on, which is shared.
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "replace")


def run(command: Sequence[str], **options: Any) -> Ended:
    """Run a program to its end, with the options of `Child`."""
    with Child(command, **options) as child:
        return child.finish()


def start_python(*arguments: str, **options: Any) -> Child:
    """Start a Python program: `start_python("-c", program)`, with the options of `Child`."""
    return Child([sys.executable, *arguments], **options)


def run_python(*arguments: str, **options: Any) -> Ended:
    """Run a Python program to its end, with the options of `Child`."""
    return run([sys.executable, *arguments], **options)


def call_in_processes(function: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
    """Do all calls at the same time, each in a process of its own; give the results.

    `function` is found by its name, so it must be a module's.
    """
    sent = base64.b64encode(pickle.dumps((function, list(calls)))).decode()
    done = run_python("-c", "from tests.processes import _do_calls; _do_calls()", sent)
    if done.returncode:
        raise ChildError(f"{function.__qualname__} failed in a process:\n{done.stderr}")
    results: list[T] = pickle.loads(base64.b64decode(done.stdout))
    return results


def _do_calls() -> None:
    """Run in the child of `call_in_processes`: a process without threads, so one can fork."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    function, calls = pickle.loads(base64.b64decode(sys.argv[1]))
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(len(calls), mp_context=context) as pool:
        results = list(pool.map(function, *zip(*calls, strict=True)))
    print(base64.b64encode(pickle.dumps(results)).decode())


async def execute_notebook(notebook: NotebookNode, deadline_s: float = DEADLINE_S) -> NotebookNode:
    """Execute the cells in a kernel of their own, errors and all; give them with their outputs."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    # Without folders to look in, there is one kernel: this interpreter's.
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[])
    )
    assert manager.kernel_spec is not None
    manager.kernel_spec.argv = launching(manager.kernel_spec.argv)
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=None,
        startup_timeout=DEADLINE_S,
        allow_errors=True,
        resources={"metadata": {"path": str(ROOT)}},
    )
    executing = asyncio.ensure_future(client.async_execute(cleanup_kc=True))
    try:
        await asyncio.wait([executing], timeout=deadline_s)
        if executing.done():
            return await executing
        outputs = [cell.outputs for cell in notebook.cells if cell.get("outputs")]
        what = f"The notebook was not done within {deadline_s:g} s. Its outputs: {outputs}"
        raise ChildError(what)
    finally:
        if group := getattr(manager.provisioner, "pgid", None):
            _kill_group(group)
        executing.cancel()
        # That the kernel has died is no news.
        await asyncio.wait_for(asyncio.gather(executing, return_exceptions=True), PATIENCE_S)
