"""Chat Completions request -> Messages request, as a table of contents: what each line calls has its own module."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET

from modelmux.catalog import ModelCard
from modelmux.claude import caching, thinking_blocks
from modelmux.claude.context import Assets, Context, Options, Recall, ReplyShape, Thought, Translated
from modelmux.claude.notices import Notice
from modelmux.dialects.openai_chat import messages, reasoning, response_format, sampling, tools
from modelmux.dialects.openai_chat.field_support import note_ignored, refuse
from modelmux.dialects.openai_chat.tool_choice import forced, translate_tool_choice
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_request import ChatRequest

#: What a model that cannot continue an assistant message is asked, if the operator wants that.
CONTINUE: Final = "Continue exactly where your last message ends."
#: A server tool's loop pauses after ten searches; more than this many times is a loop that leads nowhere.
MAX_PAUSES: Final = 5


def _forgetful(_: str) -> None:
    return None


def translate_request(
    request: ChatRequest,
    card: ModelCard,
    options: Options | None = None,
    *,
    unknown: list[str] | None = None,
    recall: Recall = _forgetful,
    assets: Assets | None = None,
) -> Translated:
    """Translate a request for the model of ``card``. Deterministic: the same request gives the same bytes.

    :param unknown: names of fields the request has beyond ``ChatRequest``'s.
    :param recall: remembered thinking blocks by tool call id.
    :param assets: what was fetched for the URLs of the request.
    :raises InvalidRequest: naming the field, when the request cannot be answered truthfully.
    """
    ctx = Context(card, options, recall=recall, assets=assets)
    refuse(request)
    note_ignored(request, unknown or [], ctx.notices)
    if not request.messages:
        raise InvalidRequest("'messages' must hold at least one message.", param="messages")
    first = messages.split_system(request.messages)
    wanted = response_format.translate_format(request, ctx)
    defined, choice = translate_tool_choice(request, tools.translate_tools(request, ctx, wanted.subset), ctx)
    system, adrift = messages.translate_system(request.messages[:first])
    body = anthropic.MessagesRequest(
        anthropic_version=anthropic.VERTEX_VERSION,
        max_tokens=sampling.max_tokens(request, ctx),
        messages=messages.translate_turns(request.messages, first, ctx),
        system=system or None,
        tools=list(defined) or None,
        tool_choice=choice,
        stop_sequences=sampling.stop_sequences(request, ctx),
        metadata=_metadata(request),
    )
    _end_with_user(body, wanted, ctx)
    _define_tools_of_history(body, ctx)
    _add_web_search(body, request, ctx)
    _ask_for_format(body, wanted, ctx)
    sampling.apply_sampling(request, body, ctx)
    ask = reasoning.read(request)
    reasoning.apply(ask, body, ctx)
    _continue_without_thinking(body, ctx)
    reasoning.settle_conflicts(body, ctx)
    betas = _bind_thoughts(body, ctx)
    caching.plan(body, ctx, whole=request.cache_control, adrift=adrift, asked=request.prompt_cache_options)
    shape = ReplyShape(
        model=request.model,
        include_usage=bool(request.stream and request.stream_options and request.stream_options.include_usage),
        tool_names=ctx.tool_names,
        custom_tools=frozenset(ctx.custom_tools),
        json_tool=wanted.tool.name if wanted.tool else None,
        legacy_function=bool(request.functions and not request.tools),
        strip_fences=wanted.instruction is not None,
        show_reasoning=reasoning.shown(request, ask),
        continue_paused=MAX_PAUSES if request.web_search_options is not None else 0,
        service_tier="default" if request.service_tier else UNSET,
    )
    return Translated(body, shape, ctx.notices.items, betas)


def refuse_notices(notices: list[Notice]) -> None:
    """Strict mode: whatever would have been a notice is an error.

    :raises InvalidRequest: naming the first field, and all the others in the text.
    """
    if notices:
        said = " ".join(f"'{n.field}' would be {n.action}: {n.reason}" for n in notices[:10])
        raise InvalidRequest(
            f"Strict mode allows no changes. {said}", param=notices[0].field, code="strict_mode",
            hint="Change the request, or switch strict mode off.",
        )  # fmt: skip


def _metadata(request: ChatRequest) -> anthropic.Metadata | None:
    who = request.safety_identifier or request.user
    return anthropic.Metadata(messages.user_id(who)) if who else None


def _end_with_user(body: anthropic.MessagesRequest, wanted: response_format.Structured, ctx: Context) -> None:
    """A trailing assistant message is a prefill: legal on some models, though not where a schema rules the answer; an
    error elsewhere, or a request to go on.

    :raises InvalidRequest: naming what does not go with it.
    """
    last = body.messages[-1]
    if last.role != "assistant":
        return
    by_schema = wanted.format is not None or wanted.tool is not None
    if ctx.card.prefill and not by_schema:
        block = last.content[-1]
        assert isinstance(block, anthropic.TextBlock)  # no turn ends in thinking, and calls are always answered
        block.text = block.text.rstrip()
        return
    if ctx.options.prefill == "continue":
        ctx.notices.add("added", "messages", "The last message cannot be continued: the model is asked to go on.")
        body.messages.append(anthropic.InputMessage("user", [anthropic.TextBlock(CONTINUE)]))
        return
    if ctx.card.prefill:
        raise InvalidRequest(
            "An answer by a schema cannot continue an assistant message.",
            param="response_format",
            hint="End with a user message, or leave out 'response_format'.",
        )
    raise InvalidRequest(
        "This model cannot continue an assistant message: the last message must not have role 'assistant'.",
        param="messages",
        hint="End with a user message that says how to go on.",
    )


def _continue_without_thinking(body: anthropic.MessagesRequest, ctx: Context) -> None:
    """Thinking gives way to a begun answer: while the model thinks, Vertex AI takes a last assistant message only if
    it begins with a thinking block (the error as quoted in Aider-AI/aider#3820)."""
    last, asked = body.messages[-1], body.thinking
    if last.role != "assistant" or isinstance(last.content[0], Thought):
        return
    if asked is not None and asked.type in ("adaptive", "enabled"):
        ctx.notices.add("dropped", "reasoning", "An answer that is begun already is continued without thinking.")
        body.thinking = None


def _define_tools_of_history(body: anthropic.MessagesRequest, ctx: Context) -> None:
    if body.tools is None:
        stand_in = tools.tools_of_history(body.messages)
        if stand_in:
            body.tools, body.tool_choice = list(stand_in), anthropic.ToolChoice("none")
            ctx.notices.add("added", "tools", "The history uses tools that are not defined; a stand-in was added.")


def _add_web_search(body: anthropic.MessagesRequest, request: ChatRequest, ctx: Context) -> None:
    search = tools.web_search(request.web_search_options, ctx)
    if search is not None:
        if any(tool.name == search.name for tool in body.tools or ()):
            raise InvalidRequest(
                f"A tool of yours is named '{search.name}', as Vertex AI's own web search is.",
                param="web_search_options",
                hint="Rename your tool, or leave out 'web_search_options'.",
            )
        if body.tool_choice is not None and body.tool_choice.type == "none":
            body.tools, body.tool_choice = None, None  # searching is a choice too, so the others must not be there
        body.tools = [*(body.tools or ()), search]


def _ask_for_format(body: anthropic.MessagesRequest, wanted: response_format.Structured, ctx: Context) -> None:
    if wanted.format is not None:
        body.output_config = anthropic.OutputConfig(format=wanted.format)
    if wanted.instruction is not None:
        body.system = [*(body.system or ()), anthropic.TextBlock(wanted.instruction)]
    if wanted.tool is not None:
        while any(tool.name == wanted.tool.name for tool in body.tools or ()):
            wanted.tool.name = f"{wanted.tool.name[:120]}_answer"
        others = bool(body.tools) and not (body.tool_choice and body.tool_choice.type == "none")
        body.tools = [*(body.tools or ()), wanted.tool]
        single = not others or bool(body.tool_choice and body.tool_choice.disable_parallel_tool_use)
        choice = anthropic.ToolChoice("any") if others else anthropic.ToolChoice("tool", wanted.tool.name)
        choice.disable_parallel_tool_use = single  # two answers would be none
        body.tool_choice = forced(choice, ctx)


def _bind_thoughts(body: anthropic.MessagesRequest, ctx: Context) -> tuple[str, ...]:
    """On models that bind thinking to its prefix: let them drop a block whose prefix differs, instead of failing."""
    if not (ctx.card.preserved_thinking and ctx.card.known and thinking_blocks.has_thoughts(body)):
        return ()
    if body.thinking is None and ctx.card.thinking_default == "on":
        body.thinking = anthropic.Thinking("adaptive")
    if body.thinking is None or body.thinking.type != "adaptive":
        return ()
    body.thinking.block_binding = anthropic.BlockBinding()
    return (anthropic.BETA_BINDING,)
