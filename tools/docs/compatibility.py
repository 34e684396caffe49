"""The text of ``docs/compatibility.md``, made from the tables that the translation uses.

``python -m tools.docs.compatibility > docs/compatibility.md`` renews it; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator

from modelmux.catalog import ModelCard, builtin
from modelmux.dialects.openai_chat.field_support import FIELD_SUPPORT
from modelmux.dialects.openai_chat.finish_reason import FINISH_REASONS
from modelmux.dialects.openai_chat.normalise.fields import REFUSED, SYNONYMS
from modelmux.dialects.openai_chat.sdk_members import SDK_MEMBERS
from modelmux.error_kinds import KINDS
from modelmux.providers.vertex_claude.errors import UPSTREAM_KINDS
from tools.docs import messages, responses

_HEAD = """# Compatibility

What happens to every field of a request, by model where it differs, and how replies and errors are mapped: first for
Chat Completions and for [Responses](#openai-responses), which are translated, then for
[Anthropic Messages](#anthropic-messages), which is relayed. This page is generated from the tables that the code uses:
`make docs` rewrites it, and a test compares the two.

A *mapped* field has a counterpart with the same meaning. An *emulated* one is achieved in another way. An *ignored* one
has no effect; the response header `x-modelmux-notices` names it. A *rejected* one gets a 400 that names it. With
`server.strict = true`, or the request header `x-modelmux-strict: true`, every notice becomes a 400. The header takes
`true`, `1`, `false` and `0`, in any case; any other value is a 400. It cannot turn off what `server.strict` turns on.
Unknown fields are ignored with a notice, at every depth. `modelmux explain request.json` shows the notices and the body
for a request; with `--strict`, or a configuration that is strict, the 400.
"""
_MESSAGES = """
## Messages

| what | becomes |
|---|---|
| leading system and developer messages | `system`; each content part is a block of its own |
| later ones | keep their position: a system turn if model and position allow it, otherwise part of a user turn |
| user text, images, files | text, image and document blocks; http(s) URLs are downloaded and embedded |
| assistant text, refusal, tool calls | text and tool_use blocks, all of them |
| `thinking_blocks`, `reasoning_details`, thinking parts | signed ones are sent back unchanged; a block or part \
without a signature is dropped with a notice |
| `reasoning_content`, `reasoning`, `reasoning_details` without a signature | not sent, without a notice: SDKs send \
them back by themselves |
| thinking that Vertex AI rejects, or that nothing follows | dropped, with a notice |
| tool results, in any order | one user turn, results first, images and documents included |
| a tool call without a result | an error result is added, with a notice |
| a result without a call | sent as text, with a notice |
| half a surrogate pair, also in arguments | U+FFFD, with a notice; in a key of the body itself its place is `body` |
| arguments that are empty, not JSON, or not an object | `{}`, or wrapped in an object, with a notice |
| property keys under the root of a tool's schema that Claude rejects | renamed, with a notice; see below |
| a tool's schema that is not JSON Schema draft 2020-12 | made valid, with a notice; see below |
| tool names and call ids that Vertex AI rejects | replaced, always in the same way; responses have the originals |
| empty content | a placeholder for the user, nothing for the assistant |
| a trailing assistant message | continued, without thinking, if the model supports it; otherwise see `vertex.prefill` |
| audio, `file_id`, grammar tools | 400 |

The bytes of a file decide what it is, not the field that it is in or its media type: PNG, JPEG, GIF and WebP become
image blocks, PDF and text become documents, by data URL, in bare base64, or from an http(s) URL (`image_url`,
`file_data`, `file_url`). A download whose type says nothing is text if its bytes are UTF-8 without control characters
and its name ends like one of text (`.txt`, `.md`, `.json`, …). Of any other file the error says what its
bytes look like and what helps: an Office document is to be converted to PDF, a HEIC image to PNG or JPEG.

**Property keys.** Claude accepts keys of 1 to 64 characters out of `a-z A-Z 0-9 _ . -` in the `properties` at the root
of a tool's schema, and any key below. Another key there becomes one that it accepts, with a hash of the old one
(`a b` becomes `a_b__c8687a08aa5d`), always the same for the same key. The `description` of the property begins with the
old key in quotes, so that the model knows it. The new key stands wherever the schema names that property (`required`,
`dependentRequired`, `if`, `allOf`, `enum` and `default` of the root, references, and so on), and in the calls of that
tool in the history. Calls in replies, whole or streamed, have the client's keys again, at the root of their arguments;
keys of nested objects are never renamed, in either direction. The same holds for an answer that a forced tool call
carries, and for Messages.

**Older drafts.** What JSON Schema draft 2020-12 does not allow is written as it does, at every depth: for example
`exclusiveMinimum: true` and `required: true` of drafts 3 and 4, or an array in `items`. What has no counterpart is left
out. The notice names the keywords that were rewritten and those that were left out. `$schema` itself stays as it is, at
every depth, whichever draft it names: Claude goes by draft 2020-12 anyway. Native structured output is the exception:
the schema is written anew for it, without `$schema`.
"""
_FOREIGN = """
## Other dialects inside Chat Completions

Clients mix dialects. A form that can mean only one thing is taken for it, and what is sent is what Chat Completions'
own form would give; errors and notices name the client's places. What can be read in no way is a 400 that says which
type it met and which are taken.

| what is sent | becomes |
|---|---|
| Anthropic's `image`, `document`, `search_result`, `tool_use`, `tool_result` blocks | parts, calls, tool messages |
| Responses' `input_text`, `output_text`, `input_image`, `input_file`; its items as messages, or `input` | the same |
| MCP's `image`, `resource` and `resource_link`, and the whole result of a call | parts of a tool message |
| Gemini's `inlineData`, `fileData` and `functionDeclarations` | files, functions |
| `parts` of a message without content: Gemini's, and those of the AI SDK's `UIMessage` | content |
| a message without content that has another member which may hold it | 400 that names the member |
| what a tool returns with a `type`, but without what a part of that type needs | JSON text |
| tools with `input_schema` (Anthropic) or `inputSchema` (MCP), and flat tools (Responses) | functions |
| `tools` as one object instead of a list | a list with that tool |
| the roles `human` (LangChain), `ai` (LangChain) and `model` (Gemini); roles in capitals | `user`, `assistant`, \
`assistant`; in small letters |
| `tool_choice` as `{"type": "auto"}`, `any`, `tool`, flat, or a tool's name alone | `tool_choice` |
| web search as a tool: `web_search…`, `web_search_preview…` with or without a date, `google_search`, \
`google_search_retrieval`, `openrouter:web_search`, `web_search_premium`, `live_search` | the server tool, with its \
options; see [web search](#web-search) |
| Anthropic's other tools by their type: `bash_…`, `text_editor_…`, `computer_…`, `memory_…` | 400: use `/v1/messages` |
| `response_format` flat, or `json_object` with a schema; `output_config.format`, `text.format` | the schema |
| a tool call without `type` or `id`, arguments and results that are not text | taken, with a notice |
| a result that lacks its call's id, or answers a call that has none | that of the only call it can belong to, by name \
too, with a notice; 400 if it says no id and there are several |
"""
_WEB_SEARCH = """
### Web search

Vertex AI has one version of web search, `web_search_20250305`. Searches are billed. What the three APIs do with it:

| | Chat Completions | Responses | Messages, and Vertex AI's own paths |
|---|---|---|---|
| by default | on: a search that is asked for is sent | off: the tool is left out, with a notice; \
`responses.web_search = true` turns it on | on: the tool is sent as it is |
| asked for by | `web_search_options`, or a tool in any spelling | a tool in any spelling | a tool of Anthropic's type |
| a later version, such as `web_search_20260209` | `web_search_20250305`, with a notice; 400 in strict mode | the \
same, if it is on | 400; with `messages.web_search = "downgrade"` as in Chat Completions |
| a setting that Claude's search does not have | ignored, with a notice | the same | the error of Vertex AI |
| in the reply | `url_citation` annotations | `web_search_call` items, and annotations | the blocks as they came |
| a reply that pauses for more searches | continued by the gateway | the same | the client's to continue |
"""
_MODEL_LIST = """
### The list of models

`GET /v1/models` and `GET /v1/models/{id}`. A client that sends `anthropic-version`, or `x-api-key` without
`authorization`, gets Anthropic's format, any other OpenAI's. `GET /v1/models` describes the first model of a name.

| OpenAI's format | value |
|---|---|
| `id` | the name to send as `model` |
| `created` | the day of the model's release, in Unix seconds; 2024-01-01 if the catalog does not know it |
| `owned_by` | `anthropic` |
| `context_window`, `context_length`, `max_model_len` | the context window in tokens, by the names that clients know |
| `max_output_tokens`, `max_completion_tokens` | the maximum output in tokens |

| Anthropic's format | value |
|---|---|
| `id`, `display_name` | the name to send as `model`, and a name for people |
| `created_at` | the day of the model's release, as RFC 3339; 1970-01-01 if the catalog does not know it |
| `max_input_tokens` | the context window in tokens |
| `max_tokens` | the maximum output in tokens |
| `lifecycle` | `active`, `deprecated` (a retirement is near or overdue) or `retired` |
| `deprecated_at`, `retires_at` | the days of that; null while the model is active |
| `line`, `capabilities` | null |

Anthropic's list has pages: `limit` (1 to 1000, which is the default), `after_id`, `before_id`.
"""
_SDKS = """
## Members that SDKs add

Released SDKs add these by themselves, so they are neither reported nor refused in strict mode. A member that is null
says nothing, whatever its name is.

| member | SDK |
|---|---|
"""
_STRUCTURED_OUTPUT = """## Structured output

A schema, of `response_format` or of `text.format`, is Claude's native structured output where the model has it and the
schema is in the supported subset. Otherwise a tool that the model is forced to call takes the answer, and nothing holds
the model to the schema. An answer by such a tool that does not fit the schema is repaired where that makes it fit:

| what Claude wrote | what the client gets |
|---|---|
| the answer inside one key that the schema does not have: `{"parameter": {…}}`, `{"input": …}` | the answer |
| an array or an object as a string, at any depth | the array or the object |
| an answer that fits, or that does not fit in another way, or was cut off | what Claude wrote |

A stream is held back only from a first key that the schema does not have, or from a string that looks like JSON where
an array or an object is wanted. Regular expressions and references to other documents are not checked; a very large
answer or schema is not checked at all.
"""


def render() -> str:
    """The complete page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "## Request fields\n"
    yield "| field | support | how |"
    yield "|---|---|---|"
    for name, support in FIELD_SUPPORT.items():
        yield f"| `{name}` | {support.kind} | {support.explanation} |"
    yield _MESSAGES.rstrip("\n")
    yield from _foreign()
    yield _STRUCTURED_OUTPUT
    yield "## Models\n"
    yield "Context and output in tokens. *Forced*: whether `tool_choice` can force a tool call. *Structured*: whether"
    yield "structured output is native. *Cache from*: the shortest prompt, in tokens, that is cached.\n"
    yield "| model | context | output | thinking | effort | sampling | prefill | forced | structured | cache from |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    yield from map(_model, builtin().cards)
    yield _MODEL_LIST.rstrip("\n")
    yield "\n## Finish reasons\n"
    yield "| `stop_reason` of Claude | `finish_reason` |"
    yield "|---|---|"
    for stop, reason in FINISH_REASONS.items():
        yield f"| `{stop}` | `{reason}` |"
    yield "| none | `stop`, or `tool_calls` if there are calls |"
    yield "| unknown | `stop`; tool calls are included, but the client is not told to run them |"
    yield "\n## Errors\n"
    yield "| error of Vertex AI | status | type | code |"
    yield "|---|---|---|---|"
    for name in UPSTREAM_KINDS:
        kind = KINDS[name]
        code = f"`{kind.openai_code}`" if kind.openai_code else ""
        yield f"| {name.replace('_', ' ')} | {kind.status} | `{kind.openai_type}` | {code} |"
    credentials = KINDS["credentials"]
    yield "\nWhatever is wrong with the gateway's own Google credentials (there are none, no access token can be"
    yield f"fetched, Google rejects one), the status is {credentials.status} in every dialect, at the first attempt and"
    yield f"later; the code of OpenAI's dialects is `{credentials.openai_code}`."
    yield from responses.lines()
    yield from messages.lines()


def _foreign() -> Iterator[str]:
    yield _FOREIGN.rstrip("\n")
    for name, meaning in SYNONYMS.items():
        yield f"| `{name}` | `{meaning}` |"
    yield "| `system`, `instructions` | a system message before the others |"
    for name, hint in REFUSED.items():
        yield f"| `{name}` | 400: {hint} |"
    yield _WEB_SEARCH.rstrip("\n")
    yield _SDKS.rstrip("\n")
    for path, sdk in SDK_MEMBERS.items():
        yield f"| `{path}` | {sdk} |"
    yield ""


def _model(card: ModelCard) -> str:
    cells = [
        f"`{card.id}`", _tokens(card.context_window), _tokens(card.max_output), ", ".join(card.thinking) or "none",
        ", ".join(card.effort) or "none", card.sampling, "yes" if card.prefill else "no",
        card.forced_tool_choice.replace("_", " "), "yes" if card.structured_output else "by tool",
        str(card.cache_minimum),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _tokens(count: int) -> str:
    return f"{count // 1_000_000}M" if count >= 1_000_000 else f"{count // 1000}k"


if __name__ == "__main__":
    print(render(), end="")
