"""Children of tests end, whatever they do, and say what they did."""

from __future__ import annotations

import os
import signal
import sys
import textwrap

import nbformat
import pytest

from tests.processes import (
    ChildError,
    call_in_processes,
    execute_notebook,
    is_alive,
    run_python,
    start_python,
)
from tests.waits import wait_until

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

# What has once held up a whole run: a failed assertion that leaves a thread running.
HANGS = """
import os, threading, time
if os.fork() == 0:
    time.sleep(600)
print("begun", flush=True)
threading.Thread(target=time.sleep, args=(600,)).start()
assert 1 == 2, "as it must not be"
"""
FORKS = """
import os, time
child = os.fork()
if child == 0:
    time.sleep(600)
print(child, flush=True)
"""


def test_what_a_program_prints() -> None:
    program = "import sys; print('out'); print('é'); print('no end', end=''); sys.exit('err')"
    ended = run_python("-c", program, env={**os.environ, "PYTHONUTF8": "1"})
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "out\né\nno end", "err\n")
    with start_python("-c", program) as child:
        assert list(child.lines()) == ["out", "é", "no end"]


def test_lines_come_as_they_are_printed() -> None:
    program = "for number in range(3): print(number, input(), flush=True)"
    with start_python("-c", program) as child:
        for number in range(3):
            child.say("go on")
            assert child.read_line() == f"{number} go on"
        assert child.finish().returncode == 0


@pytest.mark.parametrize("how", ["lines", "read_line", "finish"])
def test_a_program_that_hangs_is_killed_and_quoted(how: str) -> None:
    with start_python("-c", HANGS) as child:
        assert child.read_line() == "begun"
        wait_until(lambda: "as it must not be" in child.stderr)
        child.ends_at_s = 0
        wait_for_it = {
            "lines": lambda: list(child.lines()),
            "read_line": child.read_line,
            "finish": child.finish,
        }
        with pytest.raises(ChildError, match=r"(?s)not done within 120 s.*begun.*must not be"):
            wait_for_it[how]()
        assert child.finish().returncode == -signal.SIGKILL


def test_a_program_that_ends_early_is_quoted() -> None:
    with start_python("-c", "print('begun'); raise SystemExit('no more')") as child:
        assert child.read_line() == "begun"
        with pytest.raises(ChildError, match=r"(?s)ended with 1 and .*begun.*no more"):
            child.read_line()


@only_linux
@pytest.mark.parametrize("how", ["at its deadline", "at the end of the block", "when it has ended"])
def test_what_it_has_started_ends_with_it(how: str) -> None:
    program = FORKS if how == "when it has ended" else FORKS + "time.sleep(600)"
    with start_python("-c", program) as child:
        grandchild = int(child.read_line())
        if how == "at its deadline":
            child.ends_at_s = 0
            with pytest.raises(ChildError):
                child.finish()
            wait_until(lambda: not is_alive(grandchild))
        elif how == "when it has ended":
            child.finish()
            assert is_alive(grandchild)
    wait_until(lambda: not is_alive(grandchild))


@only_linux
def test_a_child_ends_with_a_killed_parent() -> None:
    program = """
        import time
        from tests.processes import start_python
        child = start_python("-c", "import time; time.sleep(600)")
        print(child.pid, flush=True)
        time.sleep(600)
    """
    with start_python("-c", textwrap.dedent(program)) as parent:
        child = int(parent.read_line())
        assert is_alive(child)
        parent.kill()
        wait_until(lambda: not is_alive(child))


def halve(number: int) -> tuple[int, int]:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return os.getpid(), number // 2


def test_calls_run_in_processes_and_their_errors_are_raised_here() -> None:
    pids, halves = zip(*call_in_processes(halve, [(number,) for number in (2, 4, 6)]), strict=True)
    assert halves == (1, 2, 3)
    assert os.getpid() not in pids
    with pytest.raises(ChildError, match="3 is odd"):
        call_in_processes(halve, [(2,), (3,)])


@only_linux
async def test_a_notebook_that_hangs_is_killed_and_quoted() -> None:
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    for code in ("import os; print(os.getpid())", "while True: pass"):
        notebook.cells.append(nbformat.v4.new_code_cell(code))  # type: ignore[no-untyped-call]
    with pytest.raises(ChildError, match="not done within 9 s") as caught:
        await execute_notebook(notebook, deadline_s=9)
    outputs = [output.text for cell in notebook.cells for output in cell.outputs]
    for text in outputs:  # none where the machine was too slow even to begin
        assert repr(text) in str(caught.value)
        assert not is_alive(int(text))
