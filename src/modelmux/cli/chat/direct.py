"""``modelmux chat --direct``: a gateway of its own, in this process, on a free port of the loopback interface."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec

from modelmux.app import Gateway
from modelmux.cli.api_key import new_key
from modelmux.config import Config
from modelmux.config.values import Secret
from modelmux.process.listen import listen
from modelmux.process.server import server_in_thread
from modelmux.store.local_state import LocalState

_HOST = "127.0.0.1"


@contextlib.contextmanager
def direct_gateway(config: Config) -> Iterator[tuple[str, str]]:
    """Serve ``config`` during the block. Yields the URL, and the only key that is accepted: other users of the machine
    can reach the port, too.

    :raises ConfigError: the settings cannot be used.
    :raises ListenError:
    """
    key = new_key()
    server = msgspec.structs.replace(config.server, host=_HOST, api_keys=[Secret(key)])
    # The files of a service belong to its user, who may be another one.
    settings = msgspec.structs.replace(config, server=server)
    app = Gateway(settings, state=LocalState(None), manages_keys=False)
    sock = listen(_HOST, 0)
    with server_in_thread(app, sock):
        yield f"http://{_HOST}:{sock.getsockname()[1]}", key
