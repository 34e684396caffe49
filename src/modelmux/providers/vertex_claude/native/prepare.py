"""The complete list of what changes about a native request on its way to Vertex AI; nothing else does.

``docs/compatibility.md`` shows the same list. Source tags: SDK the ``anthropic`` SDK (lib/vertex), LL LiteLLM's filter
for Vertex AI, GC Google's model cards, P Anthropic's documentation for gateways, S seen in real traffic.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from modelmux.catalog import ModelCard
from modelmux.claude.draft import SignedThinking
from modelmux.claude.native import NativeRequest, edits_without_thinking
from modelmux.claude.options import Options
from modelmux.errors import InvalidRequest, PayloadTooLarge
from modelmux.providers.base import NativePrepared
from modelmux.providers.vertex_claude.native import betas, envelope, fields, repairs, server_tools
from modelmux.providers.vertex_claude.native.draft import NativeDraft, NativeRule
from modelmux.wire.anthropic import MAX_BODY_BYTES
from modelmux.wire.json_edit import DuplicateKey, dotted, edit, members_of

#: More would take seconds, and no conversation that Claude can read needs as many.
MAX_EDITS: Final = 5_000

#: In this order: the betas are filtered last, because fields that are removed or added may need one.
RULES: Final[tuple[NativeRule, ...]] = (
    NativeRule(
        "strings", "repaired", "Half a surrogate pair, which is not a character, becomes U+FFFD.", "S",
        repairs.surrogates,
    ),
    NativeRule(
        "tools.*.input_schema", "repaired",
        "If it is not JSON Schema draft 2020-12, if its root is not of type object or has anyOf, oneOf or allOf (its "
        "variants are joined), or has a key under its root that Claude refuses: such keys are renamed there, in "
        "input_examples and in earlier calls (tool_use.input); the property's description names the old key, and calls "
        "in replies have the client's. $schema stays as it is.",
        "S", repairs.schemas,
    ),
    NativeRule("model", "moved", "Always: the URL names the model.", "SDK", envelope.model),
    NativeRule(
        "anthropic_version", "set", "Unless the body has it: from the header anthropic-version.", "SDK, S",
        envelope.version,
    ),
    NativeRule("stream", "set", "Where it differs from the verb of the URL.", "SDK", envelope.stream),
    NativeRule("betas", "rejected", "It is an argument of the SDK, not a field.", "SDK", envelope.betas_argument),
    NativeRule("anthropic_beta", "moved", "Always: its values join the header.", "P", envelope.body_betas),
    NativeRule("output_format", "renamed", "Always: output_config.format.", "LL", fields.output_format),
    NativeRule("output_config.effort", "removed", "On models without effort.", "LL, S", fields.effort),
    NativeRule("cache_control.scope", "removed", "Everywhere; the rest of the marker stays.", "LL", fields.cache_scope),
    NativeRule(", ".join(fields.REMOVED), "removed", "Always.", "P", fields.removed),
    NativeRule("speed", "removed", "On models without fast mode on Google Cloud.", "GC", fields.speed),
    NativeRule(", ".join(fields.REJECTED), "rejected", "Unless empty.", "P", fields.rejected),
    NativeRule(
        "tools.*.type, tools.*.allowed_callers", "rejected",
        "Server tools that Google Cloud does not offer: web fetch, code execution, the advisor, MCP toolsets, and web "
        f"search later than {server_tools.WEB_SEARCH} (with messages.web_search = downgrade: set to that).", "P",
        server_tools.tools,
    ),
    NativeRule(
        "file sources, container_upload", "rejected", "Google Cloud has neither files nor containers.", "P",
        server_tools.blocks,
    ),
    NativeRule(
        "messages.*.content.*.caller", "rejected", "In the open tool call, unless its type is direct.", "P",
        server_tools.callers,
    ),
    NativeRule("sources of type url", "inlined", "Images and documents: downloaded.", "SDK", fields.url_sources),
    NativeRule(
        "header anthropic-beta", "filtered", "By the table below; fields that need a dropped beta go with it.",
        "LL, S, P", betas.apply,
    ),
)  # fmt: skip


def prepare_native(
    native: NativeRequest,
    card: ModelCard,
    options: Options,
    *,
    refused: frozenset[str] = frozenset(),
    drops: Callable[[SignedThinking], bool] | None = None,
) -> NativePrepared:
    """A native request for the model of ``card``.

    :param refused: betas that the location has refused lately.
    :param drops: which thinking of the history is left out: another model's, or what was refused.
    :raises InvalidRequest: it asks for something that Google Cloud does not offer; names the field.
    :raises PayloadTooLarge: with its downloaded files it is larger than Vertex AI accepts.
    """
    draft = NativeDraft(native, card, options, refused=refused)
    for rule in RULES:
        rule.apply(draft)
    if drops is not None:
        removed = edits_without_thinking(native.content, drops)
        if removed:
            draft.edits.update(removed)
            draft.notices.add("dropped", "messages", "Thinking that this model cannot read is not sent.")
    return NativePrepared(encode(draft), tuple(draft.betas), draft.notices.items, draft.property_names)


def encode(draft: NativeDraft) -> bytes:
    """The client's bytes with the edits of a draft.

    :raises InvalidRequest: an object names a key twice, or more than ``MAX_EDITS``. :raises PayloadTooLarge:
    """
    if len(draft.edits) > MAX_EDITS:
        path = dotted(next(islice(draft.edits, MAX_EDITS, None)))
        raise InvalidRequest(
            f"{path}: more than {MAX_EDITS:,} parts of the request would have to change for this model.",
            param=path,
            hint="The notices of a shorter request say what changes and why.",
        )
    try:
        if not draft.edits:
            members_of(draft.native.body)  # for the keys that occur twice
        body = edit(draft.native.body, draft.edits)
    except DuplicateKey as error:
        raise InvalidRequest(
            f"{dotted(error.path)} occurs twice.", param=dotted(error.path), hint="Send each key once."
        ) from None
    if len(body) > MAX_BODY_BYTES:
        raise PayloadTooLarge(
            f"The request with its images and documents exceeds Vertex AI's limit of {MAX_BODY_BYTES // 2**20} MiB.",
            param="messages",
            hint="Send fewer or smaller images and documents.",
        )
    return body
