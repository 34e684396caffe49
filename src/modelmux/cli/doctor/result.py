"""What a check found, and what all checks work on. No checks, no printing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from modelmux.config import Config, Loaded
from modelmux.routing.routes import Deployment, Route, Routes

Status = Literal["ok", "warn", "fail", "skip"]


class Result(Struct, frozen=True, omit_defaults=True):
    """One line of the report. Never holds a secret; project ids are the operator's own.

    :param check: what was looked at, in a few words.
    :param found: what is the case.
    :param hint: what to do about it; set unless ``status`` is ``ok``.
    :param ms: how long it took, where that tells something.
    """

    check: str
    status: Status
    detail: str
    hint: str | None = None
    ms: int | None = None


@dataclass
class DoctorContext:
    """What is examined. The first checks fill in what the later ones need; None where that failed.

    :param options: settings of the command line.
    :param environment: the variables before ``.env`` joined them, which settings are read from.
    :param process: the variables with ``.env``, which everything else reads.
    :param served: routes whose deployments are looked at, and whether the operator configured them.
    :param token: a Google access token, once one could be had; ``quota_project`` belongs to it.
    """

    config_path: Path | None
    options: Mapping[str, Any]
    environment: Mapping[str, str]
    process: Mapping[str, str]
    loaded: Loaded | None = None
    routes: Routes | None = None
    served: list[tuple[Route, bool]] = field(default_factory=list)
    token: str | None = field(default=None, repr=False)
    quota_project: str | None = None

    @property
    def config(self) -> Config | None:
        return self.loaded.config if self.loaded is not None else None

    def deployments(self) -> list[tuple[Deployment, bool]]:
        """Each place once, and whether it was configured."""
        found: dict[str, tuple[Deployment, bool]] = {}
        for route, configured in self.served:
            for deployment in route.deployments:
                found.setdefault(deployment.url, (deployment, configured))
        return list(found.values())
