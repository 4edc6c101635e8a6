"""Methods on the server itself."""

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._verbs.runner import FlowRunner, async_method, sync_method


class ServerMethods(FlowRunner):
    """Ask the server itself."""

    @sync_method
    def ping(self) -> Flow[bool]:
        """Ask Redis whether it answers.

        Raises:
            BackendUnavailableError: It does not; the text says why.
        """
        # Not PING, whose reply redis-py's cluster client can't give as bytes.
        yield ("EXISTS", self._context.keyspace.app_state("ping"))
        return True

    aping = async_method(ping)
