"""The part of ``docs/compatibility.md`` about Anthropic Messages, made from the rules and tables of the relay."""

from __future__ import annotations

from collections.abc import Iterator

from modelmux.catalog.betas import BetaGroup, betas
from modelmux.dialects.anthropic_messages.errors import error_response
from modelmux.error_kinds import KINDS
from modelmux.errors import UpstreamRefused, UpstreamReply
from modelmux.providers.vertex_claude.errors import UPSTREAM_KINDS
from modelmux.providers.vertex_claude.native.prepare import RULES

_HEAD = """
## Anthropic Messages

Requests of `POST /v1/messages`, and of Vertex AI's own paths, reach Vertex AI in the client's own bytes. This is the
complete list of what changes; key order, spacing, unknown fields and numbers stay as they were sent. Thinking blocks,
signatures and `cache_control` are never touched, histories are not repaired, and no cache breakpoints are added. The
one exception: on a route with `fallbacks`, thinking of another model is left out for a model that cannot read it.

Sources: *SDK* the `anthropic` SDK, *LL* LiteLLM's filter for Vertex AI, *GC* Google's model cards, *P* Anthropic's
documentation, *S* seen in real traffic.

| field | change | when | source |
|---|---|---|---|"""
_BETAS = """
### Betas

Values of the header `anthropic-beta`, in order. Values that no row lists are forwarded (`messages.unknown_betas`). A
value that Vertex AI refuses is left out, the request is repeated once without it, and the location is not sent that
value for an hour. Token counting sends none. Evidence: *A* Claude Code sends it to Vertex AI, *L* LiteLLM forwards it,
*H* also, as a header only, *P* Anthropic's documentation.

| value | on Vertex AI | evidence |
|---|---|---|"""
_PAIRS = """
If a client sends one of these betas and none of its row is forwarded, the fields are removed too: alone they would be
an error.

| field | needs one of |
|---|---|"""
_REPLIES = """
### Replies and errors of Messages

Replies pass byte by byte, as whole events. The gateway adds `event: ping` on a silent stream (a comment before
`message_start`), and `event: error` where a stream breaks off. `model` is the upstream's
(`messages.reply_model = "requested"` shows the client's). Errors of the model itself keep their status and body, unless
they name the project; its 401 and 403 are about the gateway's credentials. All others have Anthropic's envelope:

| error of Vertex AI | status | type |
|---|---|---|"""


def lines() -> Iterator[str]:
    """The sections, line by line."""
    yield _HEAD
    for rule in RULES:
        fields = ", ".join(f"`{field}`" for field in rule.field.split(", "))
        yield f"| {fields} | {rule.change} | {rule.when} | {rule.source} |"
    yield _BETAS
    yield from map(_group, betas().group)
    yield _PAIRS
    for pair in betas().pair:
        yield f"| {_code(pair.fields)} | {_code(pair.betas)} |"
    yield _REPLIES
    for name in UPSTREAM_KINDS:
        error = UpstreamRefused("", KINDS[name], UpstreamReply(KINDS[name].status))
        response = error_response(error, "")
        yield f"| {name.replace('_', ' ')} | {response.status} | `{error.kind.anthropic_type}` |"


def _group(group: BetaGroup) -> str:
    action = {"keep": "kept", "drop": "dropped", "rename": f"renamed to `{group.to}`"}[group.action]
    if group.models is not None:
        action = f"kept for {_code(group.models)}, else dropped"
    elif group.not_models:
        action += f", dropped for {_code(group.not_models)}"
    return f"| {_code(group.values)} | {action} | {group.evidence} |"


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
