"""ModelMux: a gateway to Claude on Google Cloud Vertex AI, for OpenAI and Anthropic clients.

    from modelmux import Config, create_app

    app = create_app(Config.from_dict({"vertex": {"project": "my-project", "location": "global"}}))

``app`` is an ASGI application: serve it with any server, or mount it in an application of your own.
"""

from typing import TYPE_CHECKING, Any

from modelmux.version import __version__

if TYPE_CHECKING:
    from modelmux.app import create_app
    from modelmux.config import Config, ConfigError

__all__ = ["Config", "ConfigError", "__version__", "create_app"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: `modelmux --version` and the emulator need none of it.
    if name == "create_app":
        from modelmux.app import create_app

        return create_app
    if name in ("Config", "ConfigError"):
        from modelmux import config

        return getattr(config, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
