"""Which path was probably meant by one that is not served, and what is wrong with the client's base URL. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from typing import Final

from modelmux.dialects.registry import SURFACES, api_paths

_CONVERSATION: Final = re.compile(r"/v1/conversations(/|$)")
#: Ends of a base URL that was copied with the path of a request: clients append that path themselves.
_COPIED: Final = tuple(path.removeprefix("/v1") for path in api_paths().values() if path.startswith("/v1/"))
#: What clients append to a base URL, with or without ``/v1``: all paths that are served below it end so.
_APPENDED: Final = tuple(
    {s.path.removeprefix("/v1") for s in SURFACES if s.path.startswith("/v1/") and "{" not in s.path}
)


def suggestion(path: str, served: Collection[str]) -> str:
    """The path that was probably meant: fixes a doubled or missing ``/v1``, slashes and typing errors.

    :param served: the paths that are served, without templates.
    """
    doubled = doubled_path(path, served)
    if doubled is not None:
        return doubled[1]
    wanted = _clean(path)
    wanted = "/v1/" + re.sub(r"^(/(v\d+|api|openai))+(?=/|$)", "", wanted).lstrip("/")
    if _CONVERSATION.match(wanted):
        return "Conversations are not stored here. Use previous_response_id, or send the whole conversation as input."
    matches = difflib.get_close_matches(wanted, served, n=1)
    everything = ", ".join(f"POST {path}" for path in api_paths().values()) + " and GET /v1/models"
    return f"Did you mean {matches[0]}?" if matches else f"This gateway serves {everything}."


def doubled_path(path: str, served: Collection[str]) -> tuple[str, str] | None:
    """The path that was meant, and a sentence, where the base URL ends with the path of a request, as in
    ``/v1/responses/responses``; None where it does not."""
    wanted = _clean(path)
    if not wanted.endswith(_APPENDED):  # nearly all paths; each of the pairs below would be compared
        return None
    for meant in served:
        # Clients of Anthropic's API append /v1/messages, those of OpenAI's /chat/completions to a base with /v1.
        for appended in (meant, meant.removeprefix("/v1")):
            base = wanted.removesuffix(appended)
            if meant.startswith("/v1/") and base != wanted and base.endswith(_COPIED):
                end = "before" if appended == meant else "in"
                advice = f"The client adds {appended} itself: set its base URL to end {end} /v1."
                return meant, f"Did you mean {meant}? {advice}"
    return None


def _clean(path: str) -> str:
    return re.sub(r"/{2,}", "/", path).rstrip("/").lower()
