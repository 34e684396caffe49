"""Risk: a URL that reaches Vertex AI, or a download that changes a request other models are prepared from."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelmux.claude import embed as module
from modelmux.claude.embed import check_files, embed
from modelmux.claude.request import ClaudeRequest, RemoteFile
from modelmux.dialects.openai_chat.request import to_claude_request
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import Base64Source, DocumentBlock, ImageBlock, TextSource
from modelmux.wire.openai.chat_request import ChatRequest

IMAGE = ImageBlock(Base64Source("image/png", "UE5H"))
DOCUMENT = DocumentBlock(TextSource("text/plain", "words"))
PICTURE = {"type": "image_url", "image_url": {"url": "https://x/a.png"}, "cache_control": {"type": "ephemeral"}}
FILE = {"type": "file", "file": {"file_data": "https://x/a.pdf", "filename": "a.pdf"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def request_with(*content: Any) -> ClaudeRequest:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, *content]},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "b"}, *content]},
    ]
    return to_claude_request(msgspec.convert({"model": "m", "messages": messages}, ChatRequest))[0]


def plain(request: ClaudeRequest) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(request.body.messages))
    return messages


def test_urls_are_replaced_everywhere_and_nothing_else_is() -> None:
    request = request_with(PICTURE, FILE)
    before = plain(request)
    embedded = embed(request, {"https://x/a.png": IMAGE, "https://x/a.pdf": DOCUMENT})
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "UE5H"},
             "cache_control": {"type": "ephemeral"}}  # fmt: skip
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"},
                "title": "a.pdf"}  # fmt: skip
    sent = plain(embedded)
    assert sent[0]["content"][1:] == [image, document]
    assert sent[2]["content"][0]["content"][1:] == [image, document]
    assert sent[1] == before[1]
    assert plain(request) == before, "the request itself is not changed"
    assert embedded.remote_files == ()
    assert embed(embedded, {}) is embedded


@pytest.mark.parametrize(
    ("content", "files", "param", "message"),
    [
        (PICTURE, {}, "messages.0.content.1.image_url", "turned off"),
        (FILE, {}, "messages.0.content.1.file.file_data", "turned off"),
        (PICTURE, {"https://x/a.png": DOCUMENT}, "messages.0.content.1.image_url", "does not hold an image"),
    ],
)
def test_the_wrong_file_or_none_is_named_by_its_field(content: Any, files: Any, param: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        embed(request_with(content), files)
    assert caught.value.param == param


PAPER = DocumentBlock(Base64Source("application/pdf", "JVBERg=="))


def test_the_bytes_decide_which_block_a_url_becomes() -> None:
    """In a tool's result, too; the breakpoint stays, and the title where there is one."""
    file = {"type": "file", "file": {"file_data": "https://x/a.png", "filename": "a"}}
    both = {"https://x/a.png": IMAGE, "https://x/a.pdf": IMAGE}
    sent = plain(embed(request_with(PICTURE, file), both))
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "UE5H"}}
    assert sent[0]["content"][1:] == [{**image, "cache_control": {"type": "ephemeral"}}, image]
    sent = plain(embed(request_with(PICTURE), {"https://x/a.png": PAPER}))
    paper = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
             "cache_control": {"type": "ephemeral"}}  # fmt: skip
    assert sent[0]["content"][1:] == [paper]
    assert sent[2]["content"][0]["content"][1:] == [paper]


@pytest.mark.parametrize(
    ("kind", "file", "message"), [("image", PAPER, "an image in"), ("document", IMAGE, "not a doc")]
)
def test_a_native_block_takes_only_its_own_kind_of_file(kind: Any, file: Any, message: str) -> None:
    remote = RemoteFile("https://x", kind, "messages.0.content.0.source")
    with pytest.raises(InvalidRequest, match=message) as caught:
        check_files([remote], {"https://x": file})
    assert caught.value.param == "messages.0.content.0.source"
    check_files([remote], {"https://x": PAPER if kind == "document" else IMAGE})


def test_a_file_counts_as_often_as_it_is_referred_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL of 20 bytes may refer to 20 MB once more."""
    files = {"https://x/a.png": IMAGE, "https://x/a.pdf": DOCUMENT}
    request = request_with(PICTURE, PICTURE, FILE)
    monkeypatch.setattr(module, "MAX_EMBEDDED", 2 * (2 * len("UE5H") + len("words")))
    embed(request, files)
    again = [RemoteFile("https://x/a.png", "image", "a")] * 6
    check_files(again, {"https://x/a.png": IMAGE})
    with pytest.raises(InvalidRequest, match="30 MiB together"):
        embed(request_with(PICTURE, PICTURE, FILE, PICTURE), files)
    with pytest.raises(InvalidRequest, match="30 MiB together"):
        check_files([*again, again[0]], {"https://x/a.png": IMAGE})
