"""Whatever goes wrong ends in words and an exit code, not in a traceback; a pipe or a Ctrl-C in silence."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from modelmux.cli.exit import run_and_exit, wants_debug
from modelmux.cli.main import main
from modelmux.cli.output import colours
from support.cli import environment, run


def raising(error: BaseException) -> int:
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_and_exit(command, debug=False)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_an_unexpected_exception_keeps_its_text_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(ValueError("sk-secret")) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: internal error (ValueError)\nhint: Run it again with --debug")
    assert "sk-secret" not in said


def test_the_system_s_own_words_are_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(PermissionError(13, "Permission denied", "/x")) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: /x: Permission denied",
        "hint: Run it as a user who may use this path, or set HOME to a directory of yours.",
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_is_130_and_silent(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(error) == 130
    assert capsys.readouterr().err == ""


def test_debug_lets_the_traceback_through() -> None:
    with pytest.raises(ZeroDivisionError):
        run_and_exit(lambda: 1 / 0, debug=True)


@pytest.mark.parametrize(
    ("arguments", "variables", "debug", "left"),
    [
        (["serve"], {}, False, ["serve"]),
        (["serve", "--debug", "--port", "1"], {}, True, ["serve", "--port", "1"]),
        (["chat", "--", "--debug"], {}, False, ["chat", "--", "--debug"]),
        (["serve"], {"MODELMUX_DEBUG": "1"}, True, ["serve"]),
        (["serve"], {"MODELMUX_DEBUG": "0"}, False, ["serve"]),
    ],
)
def test_where_debug_is_asked_for(
    arguments: list[str], variables: dict[str, str], debug: bool, left: list[str]
) -> None:
    assert wants_debug(arguments, variables) == (left, debug)


def test_wrong_usage_is_2_in_the_same_style(tmp_path: Path) -> None:
    said = run("srve", home=tmp_path)
    assert (said.code, said.stdout) == (2, "")
    assert said.stderr.startswith("error: unknown command 'srve': did you mean `modelmux serve`?\nhint: `modelmux")
    assert run("serve", "--port", "x", home=tmp_path).code == 2


@pytest.mark.parametrize(
    ("given", "corrected"),
    [
        ("--config X config validate", "config validate --config …"),
        ("--config 'a b' --set server.port=1 doctor --json", "doctor --config … --set …"),
        ("--config config config path --config config", "config path --config …"),
        ("--live doctor", "doctor --live"),
        ("--url http://gateway chat Hi --direct", "chat --url …"),
        ("config --config X validate", "config validate --config …"),
        ("service --user status", "service status --user"),
    ],
)
def test_options_before_the_command_are_answered_with_the_corrected_line(
    given: str, corrected: str, tmp_path: Path
) -> None:
    result = run(*shlex.split(given), home=tmp_path)
    assert result.code == 2
    assert "before the command" in result.stderr
    assert result.stderr.endswith(f"hint: Options follow the command: modelmux {corrected}\n")


@pytest.mark.parametrize("options", ["--api-key sk-canary", "--api-key=sk-canary", "--api-key -sk-canary", "-mcanary"])
def test_a_value_of_such_an_option_may_be_a_secret(options: str, tmp_path: Path) -> None:
    result = run(*options.split(), "chat", "canary", "--api-key", "canary", home=tmp_path)
    name = "--model" if options.startswith("-m") else "--api-key"
    assert result.stderr == (
        f"error: `{name}` comes before the command\nhint: Options follow the command: modelmux chat {name} …\n"
    )


def test_options_that_the_command_does_not_have_are_not_moved_behind_it(tmp_path: Path) -> None:
    result = run("--port", "1", "chat", home=tmp_path)
    assert (result.code, result.stderr) == (
        2, "error: no such option '--port'\nhint: `modelmux chat --help` lists its arguments and options.\n",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["logs", "config"])
def test_a_configuration_file_may_be_called_like_a_command(name: str, tmp_path: Path) -> None:
    assert run("--config", name, home=tmp_path).stderr.startswith(f"error: {name}: no such file\n")


def every_command(group: click.Group, ctx: click.Context, *path: str) -> Iterator[tuple[str, ...]]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from every_command(command, ctx, *path, name)


@pytest.mark.parametrize("path", [*every_command(main, click.Context(main))], ids=" ".join)
def test_every_command_has_help_and_a_remedy_for_an_unknown_option(path: tuple[str, ...], tmp_path: Path) -> None:
    shown = run(*path, "--help", home=tmp_path)
    assert (shown.code, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"Usage: modelmux {' '.join(path)} ")
    result = run(*path, "--no-such-option", home=tmp_path)
    error, hint = result.stderr.splitlines()
    assert (result.code, result.stdout) == (2, "")
    assert error.startswith("error: no such option '--no-such-option'")
    assert hint.startswith(f"hint: `modelmux {' '.join(path)} --help` lists ")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--config", "X", "confg"], "unknown command 'confg': did you mean `modelmux config`?"),
        (["service", "stauts"], "unknown command 'stauts': did you mean `modelmux service status`?"),
        (["--port"], "option '--port' requires an argument"),
        (["explain"], "missing argument 'REQUEST'"),
        (["completion"], "missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish\n"),
        (["serve", "--log-level", "loud"], "invalid value for '--log-level': 'loud' is not one of 'trace', 'debug'"),
        (["explain", "-", "--dialct", "chat"], "no such option '--dialct'. (Did you mean one of: '--dialect'"),
    ],
)
def test_wrong_usage_has_a_remedy(given: list[str], problem: str, tmp_path: Path) -> None:
    result = run(*given, home=tmp_path)
    assert result.code == 2
    assert result.stderr.startswith(f"error: {problem}")
    assert "\nhint: `modelmux " in result.stderr


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, None),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "0"}, None),
    ],
)
def test_colours_as_the_environment_asks(variables: dict[str, str], wanted: bool | None) -> None:
    assert colours(variables) is wanted


def test_colours_only_when_forced_in_a_pipe(tmp_path: Path) -> None:
    assert "\x1b[" in run("srve", home=tmp_path, FORCE_COLOR="1").stderr
    assert "\x1b[" not in run("srve", home=tmp_path).stderr


def test_a_broken_pipe_is_silent(tmp_path: Path) -> None:
    command = f"{sys.executable} -W error -m modelmux config show --all | true"
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True
    )
    assert done.stderr == ""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("arguments", [["models"], ["chat"], ["config", "init"]], ids=lambda words: words[0])
def test_closed_standard_streams_are_empty_ones(arguments: list[str], closed: tuple[int, ...], tmp_path: Path) -> None:
    closing = " ".join(f"{descriptor}>&-" for descriptor in closed)
    code = f"{sys.executable} -m modelmux {' '.join(arguments)} {closing}"
    result = subprocess.run(
        ["sh", "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment(tmp_path),
        cwd=tmp_path,
    )  # fmt: skip
    assert "internal error" not in result.stderr
    assert result.returncode == {"models": 0, "chat": 2, "config": 1}[arguments[0]]
