"""Google Cloud project, location and credentials according to gcloud's files and the environment, as suggestions.

Reads files only. Not in this module: the network, google-auth.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from modelmux.config.home import expand_user, home_directory
from modelmux.config.settings import settings


class Suggestion(NamedTuple):
    """A value, and where it comes from, for people."""

    value: str
    source: str


def gcloud_directory(environment: Mapping[str, str]) -> Path:
    """The directory of gcloud's files."""
    if directory := environment.get("CLOUDSDK_CONFIG"):
        return expand_user(directory)
    if sys.platform == "win32":
        return Path(environment.get("APPDATA") or home_directory(environment) / "AppData" / "Roaming") / "gcloud"
    return home_directory(environment) / ".config" / "gcloud"


def credentials(environment: Mapping[str, str]) -> Path | None:
    """The file of Application Default Credentials, if it exists."""
    path = environment.get("GOOGLE_APPLICATION_CREDENTIALS")
    file = expand_user(path) if path else gcloud_directory(environment) / "application_default_credentials.json"
    return file if file.is_file() else None


def project(environment: Mapping[str, str]) -> Suggestion | None:
    """The most likely project."""
    return next(_projects(environment), None)


def location(environment: Mapping[str, str]) -> Suggestion | None:
    """The location set in the environment."""
    return next(_variables("vertex.location", environment), None)


def _variables(name: str, environment: Mapping[str, str]) -> Iterator[Suggestion]:
    setting = next(s for s in settings() if s.name == name)
    for env in setting.env:
        if value := environment.get(env.name, "").strip():
            yield Suggestion(value, env.name)


def _projects(environment: Mapping[str, str]) -> Iterator[Suggestion]:
    yield from _variables("vertex.project", environment)
    if value := environment.get("CLOUDSDK_CORE_PROJECT", "").strip():
        yield Suggestion(value, "CLOUDSDK_CORE_PROJECT")
    yield from _configuration(environment)
    file = credentials(environment)
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(file.read_text("utf-8")) if file else {}
        for key in ("project_id", "quota_project_id"):
            if isinstance(content, dict) and isinstance(content.get(key), str) and content[key]:
                yield Suggestion(content[key], str(file))


def _configuration(environment: Mapping[str, str]) -> Iterator[Suggestion]:
    """The property ``core/project`` of gcloud's active configuration."""
    directory = gcloud_directory(environment)
    active = environment.get("CLOUDSDK_ACTIVE_CONFIG_NAME", "")
    if not active:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            active = (directory / "active_config").read_text("utf-8").strip()
    file = directory / "configurations" / f"config_{active or 'default'}"
    parser = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(OSError, UnicodeDecodeError, configparser.Error):
        parser.read_string(file.read_text("utf-8"))
        if value := parser.get("core", "project", fallback="").strip():
            yield Suggestion(value, f"gcloud's {file.name}")
