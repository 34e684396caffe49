"""Every program in docs/clients runs as it is printed there, and prints an answer.

Those of the two SDKs run in the environment of the tests, the others in those of the clients.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support import clients
from support.processes import Process
from support.programs import Program, is_served, programs, run_program

#: Program -> interpreter, and what has to be installed for it.
INTERPRETERS = {
    "openai-python": (Path(sys.executable), ()),
    "anthropic-python": (Path(sys.executable), ()),
    "anthropic-vertex-python": (Path(sys.executable), ()),
    "langchain": (clients.PYTHON, (clients.PYTHON,)),
    "openai-agents": (clients.PYTHON, (clients.PYTHON,)),
    "pydantic-ai": (clients.PYTHON, (clients.PYTHON,)),
    "agno": (clients.PYTHON, (clients.PYTHON,)),
    "haystack": (clients.PYTHON, (clients.PYTHON,)),
    "llama-index": (clients.PYTHON_STRANDS, (clients.PYTHON_STRANDS,)),
    "smolagents": (clients.PYTHON_STRANDS, (clients.PYTHON_STRANDS,)),
    "strands": (clients.PYTHON_STRANDS, (clients.PYTHON_STRANDS,)),
    "litellm": (clients.PYTHON_LITELLM, (clients.PYTHON_LITELLM,)),
    "openai-js": (clients.NODE, (clients.NODE, clients.MODULES / "openai")),
    "anthropic-js": (clients.NODE, (clients.NODE, clients.MODULES / "@anthropic-ai" / "sdk")),
    "anthropic-vertex-js": (clients.NODE, (clients.NODE, clients.MODULES / "@anthropic-ai" / "vertex-sdk")),
    "ai-sdk": (clients.NODE, (clients.NODE, clients.MODULES / "ai")),
}


@pytest.mark.parametrize("program", programs(), ids=str)
def test_it_prints_an_answer(program: Program, gateway: Process, tmp_path: Path) -> None:
    if not is_served(program.api):
        pytest.skip(f"the gateway does not serve {program.api} yet")
    interpreter, files = INTERPRETERS[program.name]
    clients.needed(*files)
    assert run_program(program, interpreter, gateway.url, tmp_path)


def test_all_programs_are_known() -> None:
    names = {program.name for program in programs()}
    assert names == set(INTERPRETERS)
