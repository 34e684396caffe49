"""An offline Vertex AI for Claude: the real wire format, checks, pacing and faults, without a model behind.

It may import ``wire`` and ``catalog`` only, so that it cannot inherit a mistake of the gateway's translators.
"""

from modelmux.emulator.app import Emulator, create_emulator
from modelmux.emulator.faults import Fault, Match, Rule, Scenario
from modelmux.emulator.scenario import BadScenario, load
from modelmux.emulator.server import RunningEmulator, serve, uvicorn_config
from modelmux.emulator.settings import EmulatorSettings

__all__ = [
    "BadScenario",
    "Emulator",
    "EmulatorSettings",
    "Fault",
    "Match",
    "Rule",
    "RunningEmulator",
    "Scenario",
    "create_emulator",
    "load",
    "serve",
    "uvicorn_config",
]
