"""The chart rendered by the real Helm, and what its manifests would give to a container."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "packaging/helm/modelmux"
EXAMPLES: Final = ROOT / "packaging/helm/examples"
#: Of the cluster that is rendered for; a Helm that was built by `go install` supposes an old one.
KUBE_VERSION: Final = "1.34.0"
#: `make helm` puts it there.
_MADE: Final = ROOT / ".venv-helm/bin/helm"
#: What the examples leave to the command line.
NAMED: Final = ("--set", "image.repository=registry.example.com/modelmux,config.vertex.project=my-project")


class Rendered(NamedTuple):
    """:ivar manifests: in the order of the output. :ivar notes: warnings of Helm, which are none."""

    manifests: list[dict[str, Any]]
    notes: str

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def one(self, kind: str) -> dict[str, Any]:
        (found,) = self.all(kind)
        return found

    @property
    def pod(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        (container,) = [each for each in self.pod["containers"] if each["name"] == "modelmux"]
        return container

    @property
    def toml(self) -> str:
        """The file of the configuration, where the container looks for it."""
        (path,) = [each["value"] for each in self.container["env"] if each["name"] == "MODELMUX_CONFIG"]
        folder, _, name = path.rpartition("/")
        (mount,) = [each for each in self.container["volumeMounts"] if each["mountPath"] == folder]
        (volume,) = [each for each in self.pod["volumes"] if each["name"] == mount["name"]]
        if "secret" in volume:
            text: str = self._named("Secret", volume["secret"]["secretName"])["stringData"][name]
        else:
            text = self._named("ConfigMap", volume["configMap"]["name"])["data"][name]
        return text

    @property
    def config(self) -> dict[str, Any]:
        return tomllib.loads(self.toml)

    def variables(self, secrets: dict[str, str] | None = None) -> dict[str, str]:
        """The environment of the container but for the path of the configuration.

        :param secrets: key -> value of the Secret that exists; else those of the chart's own are looked up.
        :raises KeyError: a variable refers to a key that its Secret does not have.
        """
        found = {}
        for each in self.container["env"]:
            if "valueFrom" in each:
                reference = each["valueFrom"]["secretKeyRef"]
                data = self._named("Secret", reference["name"])["stringData"] if secrets is None else secrets
                found[each["name"]] = data[reference["key"]]
            elif each["name"] != "MODELMUX_CONFIG":
                found[each["name"]] = each["value"]
        return found

    def port(self, name: str) -> int:
        """A port of the container by its name."""
        (port,) = [each["containerPort"] for each in self.container["ports"] if each["name"] == name]
        number: int = port
        return number

    def _named(self, kind: str, name: str) -> dict[str, Any]:
        (manifest,) = [each for each in self.all(kind) if each["metadata"]["name"] == name]
        return manifest


def helm() -> Path:
    """The program; the test is skipped without it."""
    found = str(_MADE) if _MADE.exists() else shutil.which("helm")
    if found is None:
        pytest.skip("Helm is not installed (make helm, which needs Go)")
    return Path(found)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    # Nothing of the person who runs the tests: no kubeconfig, no plugins.
    variables = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "HELM_NO_PLUGINS": "1"}
    return subprocess.run(
        [str(helm()), *map(str, arguments)], capture_output=True, text=True, env=variables, timeout=100, check=False
    )


def template(*arguments: str | Path, release: str = "modelmux") -> Rendered:
    ran = run("template", release, CHART, "--kube-version", KUBE_VERSION, *arguments)
    assert ran.returncode == 0, ran.stderr
    manifests = [each for each in yaml.safe_load_all(ran.stdout) if each is not None]
    return Rendered(manifests, ran.stderr)


def refusal(*arguments: str | Path) -> str:
    """Why values are refused, as a person reads it."""
    ran = run("template", "modelmux", CHART, "--kube-version", KUBE_VERSION, *arguments)
    assert ran.returncode != 0, ran.stdout[:2000]
    return ran.stderr
