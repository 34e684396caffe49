"""The result of a check, and the context that all checks share. Not in this module: checks, printing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from modelmux.cli.options import DOTENV
from modelmux.config import Config, Loaded
from modelmux.routing.model import Deployment, Route
from modelmux.routing.routes import Routes
from modelmux.upstream.trust import Trust, read_trust

Status = Literal["ok", "warn", "fail", "skip"]


class Result(Struct, frozen=True, omit_defaults=True):
    """One line of the report. Never holds a secret; project ids are the operator's own.

    :param check: what was checked, in a few words.
    :param detail: what was found.
    :param hint: what to do; set unless ``status`` is ``ok``.
    :param ms: how long it took, where that is informative.
    :param repeats: it follows from a failure that was reported before, so its remedy is that one's. Not for machines.
    """

    check: str
    status: Status
    detail: str
    hint: str | None = None
    ms: int | None = None
    repeats: bool = False


@dataclass
class DoctorContext:
    """What is checked. Earlier checks set what later ones need; None if they failed.

    :param options: settings from the command line.
    :param environment: the variables without ``.env``, from which settings are read.
    :param process: the variables including ``.env``, which everything else reads.
    :param served: routes whose deployments are checked, and whether the operator configured them.
    :param token: a Google access token, once obtained; ``quota_project`` belongs to it.
    :param dotenv: the file with more variables; None if none is read.
    :param of_service: the system service is checked, from which others may run.
    :param group: that may read files with secrets: the service's.
    :param reported_credentials: a failure of the credentials was reported, so that of the access token repeats it.
    :param broken: what was reported as a failure and keeps everything else from connecting, such as ``tls.ca_file``.
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
    reported_credentials: bool = False
    broken: str | None = None
    dotenv: Path | None = DOTENV
    of_service: bool = False
    group: int | None = None

    def skipped(self, check: str) -> Result:
        """The result of a check that cannot be made as long as something is broken."""
        return Result(check, "skip", f"needs {self.broken}", f"correct {self.broken} first")

    @property
    def trust(self) -> Trust:
        """The certificate authorities in addition to the system's; a file that cannot be used is left out."""
        ca_file = self.config.tls.ca_file if self.config is not None else None
        try:
            return read_trust(ca_file, self.process)
        except OSError:
            return read_trust(None, self.process)

    @property
    def config(self) -> Config | None:
        return self.loaded.config if self.loaded is not None else None

    def deployments(self) -> list[tuple[Deployment, bool]]:
        """Each deployment once, and whether it was configured."""
        deployments: dict[str, tuple[Deployment, bool]] = {}
        for route, configured in self.served:
            for deployment in route.deployments:
                deployments.setdefault(deployment.url, (deployment, configured))
        return list(deployments.values())
