"""Risk: a user without a home directory cannot run the gateway, although nothing in it is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelmux.cli.config.gcloud import gcloud_directory
from modelmux.config.home import NO_HOME, expand_user, home_directory
from modelmux.config.load import user_file
from modelmux.telemetry.log_files import default_directory


def _no_home(*_: object) -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(Path, "home", _no_home)
    monkeypatch.setattr(Path, "expanduser", _no_home)


def test_the_home_of_the_environment_comes_first(nobody: None) -> None:
    assert home_directory({"HOME": "/h"}) == Path("/h")


@pytest.mark.parametrize("environment", [{}, {"HOME": ""}])
def test_without_a_home_every_default_is_below_a_directory_that_does_not_exist(
    nobody: None, environment: dict[str, str]
) -> None:
    assert home_directory(environment) == NO_HOME
    for path in (user_file(environment), default_directory(environment), gcloud_directory(environment)):
        assert NO_HOME in path.parents
    assert expand_user("~/key.json") == NO_HOME / "key.json", "not a directory named ~ where the gateway was started"
    assert expand_user("~other/key.json") == Path("~other/key.json")


def test_a_home_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    assert (home_directory({}), expand_user("~/x"), expand_user(Path("/x"))) == (Path("/h"), Path("/h/x"), Path("/x"))
