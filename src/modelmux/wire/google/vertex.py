"""URLs of Vertex AI: the host of a location, the resource path of a model, the verb of a call.

URL rules: ``anthropic`` SDK, ``lib/vertex/_client.py``.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

_MULTI_REGIONS: Final = frozenset({"us", "eu"})
_SUFFIXES: Final = (":rawPredict", ":streamRawPredict")


def host_for(location: str) -> str:
    """The Google API host of a location: ``global``, a multi-region (``us``, ``eu``) or a region."""
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in _MULTI_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def base_url(location: str) -> str:
    """The ``https://`` URL of a location, without the API version."""
    return f"https://{host_for(location)}"


def model_path(project: str, location: str, publisher: str, model: str) -> str:
    """Resource path of a model, percent-encoded except for the ``@`` before a version, without the verb."""
    return (
        f"/v1/projects/{quote(project, safe=':')}/locations/{quote(location, safe='')}"
        f"/publishers/{quote(publisher, safe='')}/models/{quote(model, safe='@')}"
    )


def strip_verb(url: str) -> str:
    """A resource URL without a trailing ``:rawPredict`` or ``:streamRawPredict``."""
    for suffix in _SUFFIXES:
        url = url.removesuffix(suffix)
    return url


def verb(*, stream: bool) -> str:
    """The verb that ends the URL of a call."""
    return ":streamRawPredict" if stream else ":rawPredict"
