"""How hypothesis runs: no deadlines (machines are shared), a bounded number of examples, repeatable under CI. And what
the processes that tests start inherit."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

import modelmux.app
from support.loop_lag import LoopLagOfTests

pytest_plugins = ["support.clock", "support.earlier", "support.postgres", "support.redis"]

_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "ci", deadline=None, max_examples=150, derandomize=True, database=None, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile("dev", deadline=None, max_examples=150, suppress_health_check=_SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

# A shell lets its background jobs ignore Ctrl-C, and so would the programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Gateways in the tests' own process measure no lag: on a busy machine they would reject what a test asks.
modelmux.app.LoopLag = LoopLagOfTests  # type: ignore[misc]
