"""A gateway over a scripted upstream."""

from __future__ import annotations

import os
from typing import Any

from modelmux import Config
from modelmux.app import Gateway
from modelmux.upstream.trust import VARIABLES
from support.clock import current_runtime
from support.fakes import FakeTokens, FakeUpstream

PATH = "/v1/chat/completions"
PROJECT = "secret-project-42"
MODEL = "claude-sonnet-4-6"


def ask(text: str = "Hi", **fields: Any) -> dict[str, Any]:
    """A small request body."""
    return {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": text}], **fields}


def named(model: str) -> dict[str, Any]:
    """Settings in which a model is configured by its own name, so that it is served although it is retired."""
    return {"vertex": {"models": [{"name": model, "model": model}]}}


def gateway(upstream: FakeUpstream, **settings: Any) -> Gateway:
    """``settings``: tables of the configuration, merged over a minimal one. Retries are on, waiting is not."""
    vertex = {"project": PROJECT, "location": "global"} | settings.pop("vertex", {})
    config = Config.from_dict({"vertex": vertex, **settings})
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return Gateway(config, upstream=upstream, tokens=FakeTokens(), environment=environment, runtime=current_runtime())
