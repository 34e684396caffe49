"""The compaction item of a response: the reply's text, sealed, is the summary of a conversation."""

from __future__ import annotations

from modelmux.dialects.openai_responses.output import Output
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.sealed import seal_summary
from modelmux.errors import NotSupported, UpstreamBroken
from modelmux.wire.openai import responses_reply as wire


def check_sealer(plan: ResponsesPlan) -> None:
    """:raises NotSupported: a summary cannot be sealed, so no client could send it back."""
    if plan.compaction is not None and plan.sealer is None:
        raise NotSupported(
            "This gateway cannot compact conversations: it has no key to seal the summary with.",
            hint="The operator sets 'server.seal_keys'. Until then, send the whole conversation.",
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
