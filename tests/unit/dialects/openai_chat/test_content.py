"""Content parts: an image of the wrong type, an empty text or a lost document is an upstream 400 (E43, E45, E48)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from modelmux.claude.media import MAX_IMAGE_BYTES, document, image, sniff
from modelmux.dialects.openai_chat.request import to_claude_request
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_request import decode_request
from support.translation import SONNET, body_of, notices, sent, translate_request

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 10
JPEG = b"\xff\xd8\xff\xe0"
GIF = b"GIF89a;"
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 "
PDF = b"%PDF-1.7 ..."


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def url(data: bytes, head: str = "data:image/png;base64,") -> str:
    return head + b64(data)


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **fields}


def picture(value: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": value}}


def file(**fields: Any) -> dict[str, Any]:
    return {"type": "file", "file": fields}


def user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def blocks(*parts: Any) -> list[dict[str, Any]]:
    (message,) = sent(user(*parts))["messages"]
    return message["content"]  # type: ignore[no-any-return]


def block_of(media_type: str, data: bytes, kind: str = "image") -> dict[str, Any]:
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": b64(data)}}


IMAGES: list[tuple[str, Any, dict[str, Any]]] = [
    ("PNG", picture(url(PNG)), block_of("image/png", PNG)),
    ("JPEG", picture(url(JPEG, "data:image/jpeg;base64,")), block_of("image/jpeg", JPEG)),
    ("GIF87", picture(url(b"GIF87a;")), block_of("image/gif", b"GIF87a;")),
    ("GIF89", picture(url(GIF)), block_of("image/gif", GIF)),
    ("WebP", picture(url(WEBP)), block_of("image/webp", WEBP)),
    ("a wrong claim", picture(url(GIF, "data:image/png;base64,")), block_of("image/gif", GIF)),
    ("no claim", picture(url(PNG, "data:;base64,")), block_of("image/png", PNG)),
    ("upper case and parameters", picture(url(PNG, "DATA:IMAGE/PNG;name=a.png;BASE64,")), block_of("image/png", PNG)),
    ("line breaks", picture("data:image/png;base64,\n" + b64(PNG)[:5] + " \r\n" + b64(PNG)[5:]),
     block_of("image/png", PNG)),
    ("detail", {"type": "image_url", "image_url": {"url": url(PNG), "detail": "low"}}, block_of("image/png", PNG)),
    ("a plain string", {"type": "image_url", "image_url": url(PNG)}, block_of("image/png", PNG)),
    ("a PDF", file(file_data=url(PDF, "data:application/pdf;base64,"), filename="a.pdf"),
     {**block_of("application/pdf", PDF, "document"), "title": "a.pdf"}),
    ("a PDF without a name", file(file_data=url(PDF), filename=""), block_of("application/pdf", PDF, "document")),
    ("a text", file(file_data=url("é\n".encode(), "data:text/markdown;base64,"), filename="a.md"),
     {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é\n"}, "title": "a.md"}),
    ("a refusal", {"type": "refusal", "refusal": "No."}, {"type": "text", "text": "No."}),
]  # fmt: skip


@pytest.mark.parametrize(("part", "expected"), [i[1:] for i in IMAGES], ids=[i[0] for i in IMAGES])
def test_a_part_becomes_its_block(part: Any, expected: dict[str, Any]) -> None:
    assert blocks(part) == [expected]
    tool = {"role": "tool", "tool_call_id": "c", "content": [part, text("and")]}
    call = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]}
    (result,) = sent({"messages": [{"role": "user", "content": "a"}, call, tool]})["messages"][2]["content"]
    assert result == {"type": "tool_result", "tool_use_id": "c", "content": [expected, text("and")]}


MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
HOUR: dict[str, Any] = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
BLANKS: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]] = [
    ("in the middle: to the one before", [text("a"), text("", **MARK), text(" c ")], [text("a", **MARK), text(" c ")]),
    ("at the end", [text("a"), text("\n"), text(" ", **MARK)], [text("a", **MARK)]),
    ("at the head: to the one after",
     [text(" ", **MARK), text("\n"), text("a"), text("b")], [text("a", **MARK), text("b")]),
    ("several at the head", [text("", **MARK), text("", **HOUR), text("a")], [text("a", **HOUR)]),
    ("before one with its own", [text("", **HOUR), text("a", **MARK)], [text("a", **MARK)]),
    ("after one with its own", [text("a", **HOUR), text("", **MARK)], [text("a", **HOUR)]),
    ("not marked", [text(""), text("a", **MARK), text(" ")], [text("a", **MARK)]),
    ("alone", [text(" ", **MARK)], [text("(no content)", **MARK)]),
    ("a refusal", [text("a"), {"type": "refusal", "refusal": " "}], [text("a")]),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "expected"), [b[1:] for b in BLANKS], ids=[b[0] for b in BLANKS])
def test_blank_text_is_left_out_and_its_breakpoint_moves_to_the_nearest_block(
    parts: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    """E81: upstream refuses a breakpoint on empty text, and the conversation would be refused for good."""
    assert blocks(*parts) == expected


@pytest.mark.parametrize("content", [None, "", " \n", [], [text("")], [{"type": "thinking", "thinking": "hm"}]])
def test_a_user_message_without_content_gets_a_placeholder(content: Any) -> None:
    fields = {"messages": [{"role": "user", "content": content}]}
    assert sent(fields)["messages"] == [{"role": "user", "content": [text("(no content)")]}]
    thinks = bool(content) and "thinking" in str(content)
    expected = [("dropped", "messages.0.content.0")] if thinks else []
    assert notices(fields) == [*expected, ("changed", "messages.0.content")]


def test_a_users_thinking_is_not_text() -> None:
    assert blocks(text("a"), {"type": "redacted_thinking", "data": "x"}, {"type": "thinking"}) == [text("a")]


WRONG: list[tuple[str, Any, str, str]] = [
    ("audio", {"type": "input_audio", "input_audio": {}}, "messages.0.content.0.type", "not accept audio"),
    ("a stored file", file(file_id="SECRET"), "messages.0.content.0.file.file_id", "not store files"),
    ("no file", file(), "messages.0.content.0.file.file_data", "Only data:"),
    ("a remote image", picture("https://SECRET/a.png"), "messages.0.content.0.image_url", "turned off"),
    ("a remote file", file(file_data="HTTP://SECRET"), "messages.0.content.0.file.file_data", "turned off"),
    ("another scheme", picture("ftp://SECRET"), "messages.0.content.0.image_url", "Only data:"),
    ("no URL", picture("SECRET"), "messages.0.content.0.image_url", "Only data:"),
    ("no comma", picture("data:image/png;base64"), "messages.0.content.0.image_url", "Only data:"),
    ("not base64", picture("data:image/png,SECRET"), "messages.0.content.0.image_url", "not base64"),
    ("bad base64", picture("data:image/png;base64,SECRET=A"), "messages.0.content.0.image_url", "not valid base64"),
    ("base64 beyond ASCII", picture("data:image/png;base64,é"), "messages.0.content.0.image_url", "not valid base64"),
    ("bad padding", picture("data:image/png;base64,AAAAA"), "messages.0.content.0.image_url", "not valid base64"),
    ("no data", picture("data:image/png;base64,"), "messages.0.content.0.image_url", "formats PNG"),
    ("SVG", picture(url(b"<svg SECRET>", "data:image/svg+xml;base64,")), "messages.0.content.0.image_url",
     r"formats PNG.*claims to be image/svg\+xml"),
    ("a text as an image", picture("data:image/png;base64,YWJj"), "messages.0.content.0.image_url", "formats PNG"),
    ("a binary as an image", picture(url(b"\xff\0", "data:;base64,")), "messages.0.content.0.image_url", "formats PNG"),
    ("bare text as an image", picture("YWJj"), "messages.0.content.0.image_url", "Only data:"),
    ("a bare .docx as an image", picture("UEsDBBQABgA="), "messages.0.content.0.image_url", "look like a ZIP .*docx"),
    ("a .docx", file(file_data=url(b"PK\x03\x04\xff")), "messages.0.content.0.file.file_data", "look like a ZIP"),
    ("bare base64 of a binary", file(file_data="/wA="), "messages.0.content.0.file.file_data", "neither a PDF"),
    ("bare base64 that is none", file(file_data="SECRET!"), "messages.0.content.0.file.file_data", "not valid base64"),
    ("another scheme of a file", file(file_url="gs://SECRET"), "messages.0.content.0.file.file_url",
     "Only data:"),
    ("RIFF that is no WebP", picture(url(b"RIFF\0\0\0\0WAVE", "data:<SECRET>;base64,")),
     "messages.0.content.0.image_url", r"GIF or WebP\."),
    ("a binary", file(file_data=url(b"\xff\x00")), "messages.0.content.0.file.file_data", "neither a PDF nor text"),
    ("text with NUL", file(file_data=url(b"a\0b")), "messages.0.content.0.file.file_data", "neither a PDF nor text"),
    ("a blank text", file(file_data=url(b" \n")), "messages.0.content.0.file.file_data", "is empty or blank"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "param", "says"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_claude_cannot_read_is_refused_by_place_and_not_quoted(part: Any, param: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        sent(user(part))
    assert caught.value.param == param
    assert "SECRET" not in caught.value.public_message


TEXT_DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "abc"}}
#: Bytes, and the block that they are, whatever field they are in and whatever they are declared as.
BYTES: list[tuple[bytes, dict[str, Any]]] = [
    (PNG, block_of("image/png", PNG)),
    (PDF, block_of("application/pdf", PDF, "document")),
    (b"abc", TEXT_DOCUMENT),
]
HEADS = ["", "data:;base64,", "data:application/octet-stream;base64,", "data:application/pdf;base64,",
         "data:text/plain;charset=utf-8;base64,", "data: IMAGE/png ;base64,"]  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("data", "block"), BYTES, ids=["PNG", "PDF", "text"])
def test_the_bytes_decide_what_a_file_is(data: bytes, block: dict[str, Any], head: str) -> None:
    parts = [file(file_data=url(data, head)), file(file_url=url(data, head))]
    if data != b"abc" or head not in ("", HEADS[-1]):  # a text that is declared as an image stays refused
        parts += [picture(url(data, head)), {"type": "image_url", "image_url": url(data, head)}]
    for part in parts:
        assert sent(user(part))["messages"][0]["content"] == [block]
        result = {"role": "tool", "tool_call_id": "c", "content": [part]}
        call = {"id": "c", "type": "function", "function": {"name": "f"}}
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]}, result]
        assert sent({"messages": turns})["messages"][2]["content"][0]["content"] == [block]


def test_the_size_of_an_image_is_counted_in_base64() -> None:
    most = MAX_IMAGE_BYTES // 4 * 3
    assert len(image("", PNG + b"x" * (most - len(PNG)), "here").source.data) == MAX_IMAGE_BYTES
    with pytest.raises(InvalidRequest, match="5 MB") as caught:
        image("", PNG + b"x" * (most - len(PNG) + 1), "here")
    assert caught.value.param == "here"


@pytest.mark.parametrize("data", [b"", b"RIFF", b"GIF", b"%PDF", b"\x89PNG", b"WEBP" * 4])
def test_too_few_bytes_tell_nothing(data: bytes) -> None:
    assert sniff(data) is None


ONLY_TEXT = [picture(url(PNG)), file(file_data=url(PDF)), {"type": "input_audio", "input_audio": None}]


@pytest.mark.parametrize("role", ["system", "developer", "assistant"])
@pytest.mark.parametrize("part", ONLY_TEXT)
def test_only_users_and_tools_send_more_than_text(role: str, part: Any) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": role, "content": [text("b"), part]}]
    for index, start in ((1, messages), (0, messages[1:])):
        with pytest.raises(InvalidRequest, match="Only text") as caught:
            sent({"messages": [*start, {"role": "user", "content": "c"}]})
        assert caught.value.param == f"messages.{index}.content.1.type"


REMOTE = [
    picture("https://a/1.png"),
    text("https://not/a.part"),
    {"type": "image_url", "image_url": "HTTP://b/2.png"},
    file(file_data="https://c/3.pdf", filename="3.pdf"),
    picture(url(PNG)),
    picture("https://a/1.png"),
    file(file_data="https://a/1.png"),
]


def test_what_has_to_be_downloaded_is_listed_once_with_the_field_of_its_first_occurrence() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "https://no"}, {"role": "user", "content": REMOTE}]}
    request, _ = to_claude_request(decode_request(json.dumps(body).encode()))
    assert [(remote.kind, remote.field) for remote in request.remote_files] == [
        ("image", "messages.1.content.0.image_url"),
        ("image", "messages.1.content.2.image_url"),
        ("document", "messages.1.content.3.file.file_data"),
        ("document", "messages.1.content.6.file.file_data"),
    ]
    assert request.urls == {
        "https://a/1.png": "messages.1.content.0.image_url",
        "HTTP://b/2.png": "messages.1.content.2.image_url",
        "https://c/3.pdf": "messages.1.content.3.file.file_data",
    }


def with_assets(part: Any, asset: Any) -> list[dict[str, Any]]:
    request = decode_request(json.dumps({"model": "m", **user(part)}).encode())
    made = translate_request(request, SONNET, assets={"https://x": asset})
    content: list[dict[str, Any]] = body_of(made)["messages"][0]["content"]
    return content


def test_what_was_fetched_stands_in_for_its_url() -> None:
    png, pdf = image("", PNG, ""), document("", PDF, None, "")
    assert with_assets(picture("https://x"), png) == [block_of("image/png", PNG)]
    document_part = file(file_data="https://x", filename="a.pdf")
    assert with_assets(document_part, pdf) == [{**block_of("application/pdf", PDF, "document"), "title": "a.pdf"}]
    assert with_assets(file(file_data="https://x"), pdf) == [block_of("application/pdf", PDF, "document")]
    assert (png.cache_control, pdf.title) == (None, None), "one fetched block may serve many places"
    assert with_assets(picture("https://x"), pdf) == [block_of("application/pdf", PDF, "document")]
    assert with_assets(document_part, png) == [block_of("image/png", PNG)]
    with pytest.raises(InvalidRequest, match="not hold an image") as caught:
        with_assets(picture("https://x"), document("text/html", b"<p>hi", None, ""))
    assert caught.value.param == "messages.0.content.0.image_url"


def test_fetched_text_is_a_text_document() -> None:
    made = document("text/html", b"<p>hi", None, "here")
    assert made == anthropic.DocumentBlock(anthropic.TextSource("text/plain", "<p>hi"))


@pytest.mark.parametrize(("detail", "said"), [("low", True), ("high", True), ("auto", False), (None, False)])
def test_how_closely_an_image_is_to_be_looked_at_is_not_dropped_in_silence(detail: str | None, said: bool) -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlhAQABAAAAACw=", "detail": detail}}
    fields = {"messages": [{"role": "user", "content": [part]}]}
    assert notices(fields) == ([("ignored", "messages.0.content.0.image_url.detail")] if said else [])


def test_a_file_name_longer_than_a_title_is_cut_and_said() -> None:
    """Vertex AI refuses the whole request for it."""
    part = {"type": "file", "file": {"filename": "é" * 501, "file_data": "data:text/plain;base64,aGk="}}
    fields = {"messages": [{"role": "user", "content": [part]}]}
    assert sent(fields)["messages"][0]["content"][0]["title"] == "é" * 500
    assert notices(fields) == [("clamped", "messages.0.content.0.file.filename")]
    part["file"] = {**part["file"], "filename": "é" * 500}  # type: ignore[dict-item]
    assert notices(fields) == []


def test_an_answer_without_content_has_no_urls() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [{"role": "user", "content": "https://x"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    assert to_claude_request(decode_request(json.dumps({"model": "m", "messages": messages}).encode()))[0].urls == {}


@pytest.mark.parametrize(
    ("marker", "ttl"),
    [({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "1h"), ({"prompt_cache_breakpoint": {"ttl": "1h"}}, "1h")],
)
def test_a_marker_on_an_image_is_kept(marker: dict[str, Any], ttl: str) -> None:
    messages = [{"role": "user", "content": [{**picture(url(PNG)), **marker}]}]
    (block,) = sent({"messages": messages})["messages"][0]["content"]
    assert block["cache_control"] == {"type": "ephemeral", "ttl": ttl}


def test_a_wrong_lifetime_on_an_image_names_its_place() -> None:
    part = {**picture(url(PNG)), "cache_control": {"type": "ephemeral", "ttl": "2h"}}
    with pytest.raises(InvalidRequest) as caught:
        sent({"messages": [{"role": "user", "content": [part]}]})
    assert caught.value.param == "messages.0.content.0.cache_control.ttl"


def test_an_empty_detail_asks_for_nothing() -> None:
    part = {"type": "image_url", "image_url": {"url": url(PNG), "detail": ""}}
    assert notices({"messages": [{"role": "user", "content": [part]}]}) == []


@pytest.mark.parametrize(
    ("value", "said"),
    [("https", "Only data:"), ("https://x:80/a", "Downloading URLs"),
     ("data:image/png;base64,!!!!" + b64(PNG), "not valid base64")],
)  # fmt: skip
def test_what_is_wrong_with_a_url(value: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        sent({"messages": [{"role": "user", "content": [picture(value)]}]})
