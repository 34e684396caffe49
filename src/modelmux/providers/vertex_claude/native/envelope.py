"""What distinguishes a request to Vertex AI from the same one to Anthropic: model, version, verb, beta header."""

from __future__ import annotations

from typing import Final

from modelmux.providers.vertex_claude.native.draft import NativeDraft, refuse
from modelmux.wire.anthropic import VERTEX_VERSION

#: Header ``anthropic-version`` -> ``anthropic_version`` in the body.
_VERSIONS: Final = {
    None: VERTEX_VERSION,
    "2023-01-01": VERTEX_VERSION,
    "2023-06-01": VERTEX_VERSION,
    "2026-10-21": "2026-10-21",
}
_BODY_VERSIONS: Final = (VERTEX_VERSION, "2026-10-21")


def model(draft: NativeDraft) -> None:
    """The URL names the model. Token counting has it in the body, without a version."""
    if draft.count_tokens:
        draft.set(("model",), draft.card.id.partition("@")[0])
    elif "model" in draft.content:
        draft.edits["model",] = None


def version(draft: NativeDraft) -> None:
    """:raises InvalidRequest: a version that Vertex AI does not know."""
    own = draft.content.get("anthropic_version")
    if own is not None:
        if own not in _BODY_VERSIONS:
            raise refuse(("anthropic_version",), f"Input should be one of {', '.join(_BODY_VERSIONS)}.")
        return
    version = _VERSIONS.get(draft.native.version)
    if version is None:
        known = ", ".join(known for known in _VERSIONS if known)
        raise refuse(("anthropic-version",), f"This header should be one of {known}.", "Or leave it out.")
    draft.set(("anthropic_version",), version)


def stream(draft: NativeDraft) -> None:
    """``stream`` in the body follows the verb of the URL."""
    if draft.content.get("stream", False) is not draft.native.stream:
        draft.set(("stream",), draft.native.stream)


def betas_argument(draft: NativeDraft) -> None:
    """:raises InvalidRequest: ``betas`` is an argument of the SDK, not a field."""
    if "betas" in draft.content:
        raise refuse(("betas",), "Extra inputs are not permitted.", "Send beta names in the header 'anthropic-beta'.")


def body_betas(draft: NativeDraft) -> None:
    """Betas in the body join those of the header.

    :raises InvalidRequest: not a list of strings.
    """
    values = draft.content.get("anthropic_beta")
    if "anthropic_beta" not in draft.content:
        return
    if not (isinstance(values, list) and all(isinstance(value, str) for value in values)):
        raise refuse(("anthropic_beta",), "Input should be a list of strings.")
    draft.betas += values
    draft.edits["anthropic_beta",] = None
