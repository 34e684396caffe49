"""The Codex CLI as a process with a home of its own, set up by what ``modelmux`` prints for it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

from support import cli, clients
from support.processes import Process

Events = list[dict[str, Any]]

#: The emulated model's answer to a greeting.
GREETING: Final = "Hello! How can I help you today?"
#: Options that make it try again at most once.
RETRIES: Final = (
    "-c", "model_providers.modelmux.request_max_retries=1", "-c", "model_providers.modelmux.stream_max_retries=1",
)  # fmt: skip

#: Nothing but the gateway is asked, and nobody has to allow anything: the tests are in a sandbox of their own.
_OPTIONS: Final = (
    "--skip-git-repo-check", "--json", "--strict-config", "--dangerously-bypass-approvals-and-sandbox",
)  # fmt: skip


class Result(NamedTuple):
    """What it printed.

    :param code: its exit status.
    """

    events: Events
    code: int

    def items(self, type: str) -> Events:
        """Completed items of a type: ``agent_message``, ``reasoning``, ``command_execution``, ``file_change``…"""
        items = [event["item"] for event in self.events if event["type"] == "item.completed"]
        return [item for item in items if item["type"] == type]

    @property
    def texts(self) -> list[str]:
        return [item["text"] for item in self.items("agent_message")]

    @property
    def errors(self) -> list[str]:
        """What it complains about: each attempt of its own, the end, and warnings."""
        errors = [event["message"] for event in self.events if event["type"] == "error"]
        return errors + [item["message"] for item in self.items("error")]

    @property
    def usage(self) -> dict[str, int]:
        """Of the turn."""
        (usage,) = [event["usage"] for event in self.events if event["type"] == "turn.completed"]
        return dict(usage)


class Codex:
    """Codex in ``home``, in front of the gateway at ``url``; its working directory is ``folder``.

    :param catalogue: whether it gets the catalogue of models.
    :param config: the configuration that the catalogue is made from.
    """

    def __init__(self, home: Path, url: str, key: str, *, catalogue: bool = True, config: str = "") -> None:
        self.folder = home / "work"
        self.folder.mkdir()
        self._home = home
        self._key = key
        self._settings = home / ".codex"
        self._settings.mkdir()
        printed = cli.run("connect", "codex", "--model", "claude-opus-5-5", "--url", url, home=home)
        assert printed.code == 0, printed.stderr
        lines = printed.stdout.splitlines()
        if catalogue:
            file = home / "gateway.toml"
            file.write_text(config)
            output = self._settings / "modelmux-models.json"
            written = cli.run("codex-catalog", "--config", str(file), "-o", str(output), home=home)
            assert written.code == 0, written.stderr
        else:
            lines = [line for line in lines if not line.startswith("model_catalog_json")]
        (self._settings / "config.toml").write_text("\n".join(lines))

    def run(self, prompt: str, *options: str, key: str | None = None, command: tuple[str, ...] = ("exec",)) -> Result:
        """One turn. It ends by itself: there is no terminal to ask."""
        clients.needed(clients.CODEX)
        ended = subprocess.run(
            [clients.CODEX, *command, *_OPTIONS, *options],
            env=clients.environment(self._home)
            | {"CODEX_HOME": str(self._settings), "MODELMUX_KEY": key or self._key, "RUST_LOG": "error"},
            cwd=self.folder,
            input=prompt,
            capture_output=True,
            text=True,
            timeout=clients.SECONDS,
            check=False,
        )
        events = [json.loads(line) for line in ended.stdout.splitlines()]
        assert events, ended.stderr
        return Result(events, ended.returncode)

    def resume(self, prompt: str, *options: str) -> Result:
        """The next turn of the last conversation."""
        return self.run(prompt, *options, command=("exec", "resume", "--last"))


def at(gateway: Process) -> tuple[str, ...]:
    """Options that point it at another gateway."""
    return ("-c", f'model_providers.modelmux.base_url="{gateway.url}/v1"')


def answer(text: str) -> str:
    """A prompt that the emulated model answers with ``text``, whatever tools there are."""
    return f'[[emulator: answer="{text}"]] hello'


def blocks(request: dict[str, Any], role: str, type: str) -> list[dict[str, Any]]:
    """Content blocks of a request to Vertex AI."""
    messages = [message["content"] for message in request["body"]["messages"] if message["role"] == role]
    return [block for content in messages if isinstance(content, list) for block in content if block["type"] == type]


def signatures(request: dict[str, Any]) -> list[str]:
    return [block["signature"] for block in blocks(request, "assistant", "thinking")]


def text_of(result: dict[str, Any]) -> str:
    content = result["content"]
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
