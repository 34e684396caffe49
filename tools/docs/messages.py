"""The part of ``docs/compatibility.md`` about Anthropic Messages, made from the rules and tables of the relay."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from modelmux.catalog import locations
from modelmux.catalog.betas import BetaGroup, betas
from modelmux.dialects.anthropic_messages.errors import error_response
from modelmux.error_kinds import KINDS
from modelmux.errors import UpstreamRefused, UpstreamReply
from modelmux.gateway.count_state import MAX_IN_FLIGHT, RESULT_SECONDS
from modelmux.gateway.token_counter import TIMEOUT
from modelmux.providers.vertex_claude.errors import UPSTREAM_KINDS
from modelmux.providers.vertex_claude.native.count_tokens import COUNTED, removable_fields
from modelmux.providers.vertex_claude.native.prepare import RULES

_HEAD = """
## Anthropic Messages

Requests of `POST /v1/messages`, and of Vertex AI's own paths, reach Vertex AI in the client's own bytes. This is the
complete list of what changes, with the fields that are removed because their beta is not forwarded (below). Key order,
spacing, unknown fields and numbers stay as they were sent. Thinking blocks, signatures and cache breakpoints are never
moved or changed, except that the field `scope` of a breakpoint is removed. Histories are repaired no further, and no
breakpoints are added. On a route with `fallbacks`, thinking of another model is left out for a model that cannot read
it. The header `x-modelmux-notices` names every change, and strict mode rejects it, as for Chat Completions.

Sources: *SDK* the `anthropic` SDK, *LL* LiteLLM's filter for Vertex AI, *GC* Google's model cards, *P* Anthropic's
documentation, *S* seen in real traffic.

What is *repaired* is what Claude would refuse the whole request for, and with it every later turn of a session; a
request without such a fault passes as it is.

| field | change | when | source |
|---|---|---|---|"""
_BETAS = """
### Betas

Values of the header `anthropic-beta`, in order. Values that no row lists are forwarded (`messages.unknown_betas`). A
value that Vertex AI refuses is left out, the request is repeated once without it, and the location is not sent that
value for an hour. Token counting sends none. Evidence: *A* Claude Code sends it to Vertex AI, *L* LiteLLM forwards it,
*H* LiteLLM forwards it, but only as a header, *P* Anthropic's documentation.

| value | on Vertex AI | evidence |
|---|---|---|"""
_PAIRS = """
A field of this table needs one of the betas in its row. If a client sends such a beta, and none of the row is
forwarded, the field is removed too: without its beta it would be an error.

| field | needs one of |
|---|---|"""
_COUNT = """
### Token counting

`POST /v1/messages/count_tokens`, and Vertex AI's `…/models/count-tokens:rawPredict`. The model goes into the body,
without its version. {counted} count and are sent, with the changes above; all else is left out, and no betas are sent.
If a location refuses `cache_control`, or a field that came with a beta ({removable}), the call is repeated without it,
and the location is not sent that field for an hour.

Only some locations count tokens: {locations}. The deployment's own location is asked first. If it does not count this
model, one other location is asked, if there is one in the geography of the route; a route without a geography stays in
that of the deployment. Counts do not count towards the limit of concurrent requests; at most {in_flight} calls of a
process are in flight, identical ones share one call, and their result is kept for {seconds:g} s.

If Vertex AI does not count the tokens (404, 429, 5xx, no answer within {timeout:g} s, a model that it does not count),
the response is an estimate with the header `x-modelmux-estimate: true`, rather too high than too low. With
`messages.count_tokens_estimates = false` it is a 501 instead, and clients estimate themselves."""
_REPLIES = """
### Replies and errors of Messages

Replies pass byte by byte, as whole events. The gateway adds `event: ping` on a silent stream (a comment before
`message_start`), and `event: error` where a stream breaks off. `model` is the upstream's
(`messages.reply_model = "requested"` shows the client's). Errors of the model itself keep their status and body, unless
they name the project; its 401 and 403 are about the gateway's credentials. Errors that do not come from the model
(Google's JSON or HTML, a reply that breaks off, no reply) have Anthropic's envelope:

| error | status | type |
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
    yield from _token_counting()
    yield _REPLIES
    for name in UPSTREAM_KINDS:
        error = UpstreamRefused("", KINDS[name], UpstreamReply(KINDS[name].status))
        response = error_response(error, "")
        yield f"| {name.replace('_', ' ')} | {response.status} | `{error.kind.anthropic_type}` |"


def _token_counting() -> Iterator[str]:
    text = _COUNT.format(
        counted=_code(COUNTED),
        removable=_code(tuple(removable_fields())),
        locations=_code(locations().count_tokens_locations),
        in_flight=MAX_IN_FLIGHT,
        seconds=RESULT_SECONDS,
        timeout=TIMEOUT,
    )
    for paragraph in text.split("\n\n"):
        if paragraph:
            yield ""
            yield textwrap.fill(" ".join(paragraph.split()), 120, break_long_words=False, break_on_hyphens=False)


def _group(group: BetaGroup) -> str:
    action = {"keep": "kept", "drop": "dropped", "rename": f"renamed to `{group.to}`"}[group.action]
    if group.models is not None:
        action = f"kept for {_code(group.models)}, else dropped"
    elif group.not_models:
        action += f", dropped for {_code(group.not_models)}"
    return f"| {_code(group.values)} | {action} | {group.evidence} |"


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
