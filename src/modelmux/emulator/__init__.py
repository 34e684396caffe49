"""An offline Vertex AI for Claude: the real wire format, validation, pacing and faults, without a model.

It imports ``wire`` and ``catalog`` only, so that it cannot inherit a mistake of the gateway's translators.
"""

from modelmux.emulator.app import Emulator, create_emulator
from modelmux.emulator.faults.rules import FaultSpec, Match, Rule, Scenario
from modelmux.emulator.faults.scenario import BadScenario, load_scenario
from modelmux.emulator.server import RunningEmulator, serve, uvicorn_config
from modelmux.emulator.settings import EmulatorSettings

__all__ = [
    "BadScenario",
    "Emulator",
    "EmulatorSettings",
    "FaultSpec",
    "Match",
    "Rule",
    "RunningEmulator",
    "Scenario",
    "create_emulator",
    "load_scenario",
    "serve",
    "uvicorn_config",
]
