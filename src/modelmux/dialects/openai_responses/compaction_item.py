"""The compaction item of a response: the reply's text, sealed, is the summary of a conversation."""

from __future__ import annotations

from modelmux.dialects.openai_responses.output import Output
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.response_object import TRUNCATED
from modelmux.dialects.openai_responses.sealed import seal_summary
from modelmux.errors import InvalidRequest, NotSupported, UpstreamBroken
from modelmux.wire.openai import responses_reply as wire


def check_sealer(plan: ResponsesPlan) -> None:
    """:raises NotSupported: a summary cannot be sealed, so no client could send it back."""
    if plan.compaction is not None and plan.sealer is None:
        raise NotSupported(
            "This gateway cannot compact conversations: it has no key to seal the summary with.",
            hint="The operator sets 'server.seal_keys'. Until then, send the whole conversation.",
        )


def check_complete(stop_reason: str | None) -> None:
    """For OpenAI's ``response.compaction``, which has no status that would tell of a summary that was cut off.

    :raises InvalidRequest: it was cut off.
    """
    if stop_reason in TRUNCATED:
        raise InvalidRequest(
            "The summary of the conversation was cut off.",
            param="max_output_tokens",
            hint="Allow more tokens, or send a shorter conversation.",
        )


def add_compaction(output: Output, plan: ResponsesPlan, summary: str) -> None:
    """The only item of the response.

    :raises UpstreamBroken: there is no summary.
    """
    assert plan.sealer is not None
    if not summary or summary.isspace():
        raise UpstreamBroken("The model returned no summary of the conversation.", reply_started=True)
    id = output.new_id("cmp")
    output.added(wire.CompactionItem(id=id, encrypted_content=""))
    output.done(wire.CompactionItem(id=id, encrypted_content=seal_summary(plan.sealer, plan.owner, summary)))
