"""Variables that are set and not read, although they look like names of ours: misspelt ones, and those by which other
programs, or people, call the project and the location."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

from modelmux.config.paths import KeyPath
from modelmux.config.schema import Config, VertexDeployment, VertexModel

#: The setting -> the variable to suggest for it, and other names of the same. ``CLOUDSDK_…`` are gcloud's, ``GCLOUD_…``
#: and ``GCP_…`` those of Google's older tools and of many CI systems, ``GOOGLE_VERTEX_…`` the AI SDK's, ``GOOGLE_…``
#: Terraform's.
OTHER_NAMES: Final[Mapping[KeyPath, tuple[str, tuple[str, ...]]]] = {
    ("vertex", "project"): (
        "VERTEX_PROJECT",
        (
            "ANTHROPIC_VERTEX_PROJECT", "CLOUDSDK_CORE_PROJECT", "GCLOUD_PROJECT", "GCLOUD_PROJECT_ID", "GCP_PROJECT",
            "GCP_PROJECT_ID", "GOOGLE_CLOUD_PROJECT_ID", "GOOGLE_PROJECT", "GOOGLE_PROJECT_ID", "GOOGLE_VERTEX_PROJECT",
            "VERTEXAI_PROJECT_ID", "VERTEX_AI_PROJECT", "VERTEX_AI_PROJECT_ID", "VERTEX_PROJECT_ID",
        ),
    ),
    ("vertex", "location"): (
        "VERTEX_LOCATION",
        (
            "ANTHROPIC_VERTEX_REGION", "CLOUDSDK_COMPUTE_REGION", "GCLOUD_REGION", "GCP_LOCATION", "GCP_REGION",
            "GOOGLE_CLOUD_REGION", "GOOGLE_LOCATION", "GOOGLE_REGION", "GOOGLE_VERTEX_LOCATION", "VERTEXAI_REGION",
            "VERTEX_AI_LOCATION", "VERTEX_AI_REGION",
        ),
    ),
}  # fmt: skip


def not_a_setting(name: str, right: str | None) -> str:
    """What is wrong with a variable.

    :param right: the name that was probably meant.
    """
    return f"{name} is not the name of a setting" + (f": did you mean {right}?" if right else "")


def misspelt(variables: Iterable[str], prefix: str, known: set[str], ignored: set[str]) -> list[str]:
    """A sentence for each variable with our prefix that sets nothing."""
    unknown = sorted(name for name in variables if name.startswith(prefix) and name not in known | ignored)
    return [not_a_setting(name, next(iter(difflib.get_close_matches(name, known, n=1)), None)) for name in unknown]


def other_names(variables: Mapping[str, str], known: set[str]) -> dict[KeyPath, list[str]]:
    """A sentence for each variable that holds a setting under another name, by setting. It matters only where the
    setting is missing: such a variable may be meant for another program."""
    by_setting: dict[KeyPath, list[str]] = {}
    for path, (right, names) in OTHER_NAMES.items():
        near = difflib.get_close_matches(right, variables, n=len(names), cutoff=0.9)
        present = sorted(name for name in {*names, *near} - known if variables.get(name, "").strip())
        if present:
            by_setting[path] = [not_a_setting(name, right) for name in present]
    return by_setting


def missing(config: Config) -> list[KeyPath]:
    """Those of ``OTHER_NAMES`` that something needs and nothing sets."""
    vertex = config.vertex
    common = {"project": vertex.project, "location": vertex.location or vertex.region}
    entries = vertex.models or ([] if vertex.url else [VertexModel(name="")])
    return [path for path in OTHER_NAMES if not common[str(path[1])] and any(_lacks(m, str(path[1])) for m in entries)]


def _lacks(model: VertexModel, key: str) -> bool:
    if model.deployments:
        return not _has(model, key) and any(
            not deployment.url and not _has(deployment, key) for deployment in model.deployments
        )
    return not model.url and not _has(model, key)


def _has(table: VertexModel | VertexDeployment, key: str) -> bool:
    names = (key,) if key == "project" else (key, "region", "locations")
    return any(getattr(table, name, None) for name in names)
