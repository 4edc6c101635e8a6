"""A blocking method in a running event loop: said once, and not in Jupyter."""

from __future__ import annotations

from tests.processes import run_python

PROGRAM = """
import asyncio, sys, warnings
from langchain_redis_session import RedisSessionService
service = RedisSessionService("memory://loops")
service.list_users("app")  # no loop runs: nothing is said
{prepare}
async def main():
    for _ in range(2):
        service.list_users("app")
    await service.alist_users("app")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    asyncio.run(main())
for w in caught:
    print(w.filename == "<string>", w.category.__name__, w.message)
"""


def say(prepare: str = "") -> str:
    done = run_python("-c", PROGRAM.format(prepare=prepare))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_blocking_method_in_a_running_loop_warns_once_where_it_is_called() -> None:
    assert say() == (
        "True RuntimeWarning list_users() blocks the running event loop until Redis has "
        "answered; await alist_users() there"
    )


HISTORY = """
from langchain_redis_session import RedisSessionChatMessageHistory
history = RedisSessionChatMessageHistory("s", "memory://loops")
class service:
    def list_users(app):
        history.add_user_message("hi")
        history.messages
        len(history)
    async def alist_users(app): pass
"""


def test_a_blocking_history_warns_where_it_is_called_and_names_its_own_methods() -> None:
    says = "blocks the running event loop until Redis has answered; await"
    assert say(HISTORY).splitlines() == [
        f"True RuntimeWarning add_messages() {says} aadd_messages() there",
        f"True RuntimeWarning get_messages() {says} aget_messages() there",
        f"True RuntimeWarning count_events() {says} acount_events() there",
    ]


def test_a_blocking_method_in_a_notebook_is_fine() -> None:
    assert say("sys.modules['ipykernel'] = sys") == ""
