"""Settings -> the timeouts of a route: a model's own where it sets one, else the common ones."""

from __future__ import annotations

from dataclasses import fields

from modelmux.config.schema import Config, ModelTimeouts
from modelmux.wire.http import Timeouts


def build_timeouts(config: Config, own: ModelTimeouts | None = None) -> Timeouts:
    """The timeouts of one model. Waiting for a connection has the timeout of the queue."""
    stages = [stage.name for stage in fields(Timeouts) if stage.name != "pool"]
    common = {stage: float(getattr(config.timeouts, stage)) for stage in stages}
    overrides = {stage: value for stage in stages if (value := getattr(own, stage, None)) is not None}
    return Timeouts(pool=float(config.limits.queue_timeout), **(common | overrides))
