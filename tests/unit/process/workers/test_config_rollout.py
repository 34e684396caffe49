"""A new configuration reaches all workers or none, in bounded time, and one rollout follows another."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from modelmux.config import Config, ConfigError, Loaded
from modelmux.config.effective_config import NO_SETTINGS, Settings
from modelmux.config.load import load_text
from modelmux.process.reload import ReloadResult
from modelmux.process.workers.config_rollout import APPLY_TIMEOUT, ConfigRollout
from modelmux.process.workers.forked import run_forked
from modelmux.process.workers.protocol import Shutdown
from modelmux.process.workers.worker_slot import ADMIN, State, WorkerSlot
from modelmux.telemetry.log import null_logger
from support.log_lines import Lines


class Peer(WorkerSlot):
    """A worker's slot that records what is sent to it."""

    def __init__(self, number: int, state: State = State.READY) -> None:
        super().__init__(number, state=state)
        self.received: list[Any] = []

    def send(self, message: Any) -> None:
        self.received.append(message)


GOOD = {"vertex": {"project": "p", "location": "global"}, "auth": {"access_token": "t"}}


def tree(strict: bool) -> dict[str, Any]:
    return {**GOOD, "server": {"strict": strict}}


def config(strict: bool) -> Config:
    return Config.from_dict(tree(strict))


def new_rollout(slots: list[Peer], read: Callable[[], Loaded]) -> tuple[ConfigRollout, list[ReloadResult]]:
    results: list[ReloadResult] = []
    return ConfigRollout(config(False), slots, read, "127.0.0.1", null_logger(), results.append), results


def test_all_running_workers_get_the_configuration_and_the_last_one_completes_it() -> None:
    peers = [Peer(1), Peer(2, State.STARTING), Peer(3, State.DOWN)]
    rollout, results = new_rollout(peers, lambda: Loaded(config(True), (), ["a warning"], tree(True)))
    rollout.start(0.0)
    assert [len(p.received) for p in peers] == [1, 1, 0]
    assert Config.from_dict(msgspec.msgpack.decode(peers[0].received[0].config)) == rollout.config == config(True)
    rollout.on_applied(peers[0], 2, None, 0.1)
    assert results == []
    rollout.on_exit(peers[1], 0.2)  # it exited: its successor starts with the new one
    assert results == [ReloadResult([], ["a warning"])]
    assert not rollout.in_progress


def test_only_the_process_of_the_pages_gets_the_settings_to_show() -> None:
    worker, admin = Peer(1), Peer(ADMIN)
    text = '[vertex]\nproject = "p"\nlocation = "eu"\n[auth]\naccess_token = "canary"\n'
    rollout, _ = new_rollout([worker, admin], lambda: load_text(text, "c.toml"))
    assert rollout.settings == NO_SETTINGS
    rollout.start(0.0)
    assert worker.received[0].settings == b""
    settings = msgspec.msgpack.decode(admin.received[0].settings, type=Settings)
    assert settings == rollout.settings, "also for the next such process"
    shown = {one.name: (one.value, one.origin) for one in settings.values}
    assert shown["vertex.location"] == ("eu", "c.toml:3")
    assert b"canary" not in admin.received[0].settings


def test_a_configuration_that_is_rejected_is_not_shown() -> None:
    def read() -> Loaded:
        raise ConfigError(["no good"])

    rollout, _ = new_rollout([Peer(ADMIN)], read)
    rollout.start(0.0)
    assert rollout.settings == NO_SETTINGS


def test_an_invalid_configuration_is_sent_to_no_worker() -> None:
    def read() -> Loaded:
        raise ConfigError(["no good"])

    peer = Peer(1)
    rollout, results = new_rollout([peer], read)
    rollout.start(0.0)
    assert (peer.received, results) == ([], [ReloadResult(["no good"], [])])
    assert (rollout.generation, rollout.config, rollout.in_progress) == (1, config(False), False)


def test_a_rejected_configuration_is_told_with_the_remedy() -> None:
    def read() -> Loaded:
        raise ConfigError(["one is wrong", "two is wrong."], hint="Mend both.")

    rollout, results = new_rollout([Peer(1)], read)
    rollout.start(0.0)
    assert results == [ReloadResult(["one is wrong", "two is wrong. Mend both."], [])]


def test_a_worker_that_cannot_start_says_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> int:
        raise ConfigError(["the database was lost"], hint="Put it back.")

    def exit_(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", exit_)
    lines: Any = Lines()
    lines.flush = lambda: None
    with pytest.raises(SystemExit) as caught:
        run_forked(run, 2, lines)
    assert caught.value.code == 1
    message = "cannot start: the database was lost. Put it back."
    assert lines.lines == [("worker", {"worker": 2, "message": message})]


def test_a_configuration_that_would_expose_the_gateway_without_keys_is_sent_to_no_worker() -> None:
    peer = Peer(1)
    results: list[ReloadResult] = []
    rollout = ConfigRollout(
        config(False),
        [peer],
        lambda: Loaded(config(True), (), tree=tree(True)),
        "0.0.0.0",
        null_logger(),
        results.append,
    )  # fmt: skip
    rollout.start(0.0)
    assert peer.received == []
    assert "can be reached from other machines" in results[0].problems[0]


def test_a_request_during_a_rollout_starts_another_after_it() -> None:
    reads = []

    def read() -> Loaded:
        reads.append(1)
        return Loaded(config(True), (), tree=tree(True))

    peer = Peer(1)
    rollout, results = new_rollout([peer], read)
    for _ in range(5):
        rollout.start(0.0)
    assert len(reads) == 1
    rollout.on_applied(peer, 2, None, 0.1)
    assert (len(reads), len(results), rollout.generation) == (2, 1, 3)
    rollout.on_applied(peer, 2, None, 0.2)  # late, for the generation before
    assert len(results) == 1
    rollout.on_applied(peer, 3, None, 0.3)
    assert len(results) == 2


def test_a_silent_worker_is_named_and_one_that_cannot_apply_it_is_replaced() -> None:
    hung, broken = Peer(1), Peer(2)
    rollout, results = new_rollout([hung, broken], lambda: Loaded(config(True), (), tree=tree(True)))
    rollout.start(0.0)
    rollout.on_applied(broken, 2, "OSError at x.py:1", 0.1)
    assert broken.received[-1] == Shutdown(at_once=False)
    rollout.on_tick(APPLY_TIMEOUT)
    assert results == [ReloadResult([], ["worker 1 has not confirmed it yet"])]
