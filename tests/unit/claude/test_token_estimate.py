"""Risk: an estimate is too low, so that clients compact their conversation too late, or 0."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from modelmux.catalog import ModelCard, builtin
from modelmux.claude.native import NativeRequest, blocks_of
from modelmux.claude.token_estimate import BYTES_PER_TOKEN, MAX_IMAGE_TOKENS, estimate_tokens
from modelmux.wire.json_edit import Path
from support.recordings import FOLDER, load

OLD, NEW = builtin().card("claude-sonnet-4-6"), builtin().card("claude-opus-5-5")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (1000).to_bytes(4, "big") + (750).to_bytes(4, "big")


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def estimate(content: dict[str, Any], card: ModelCard = OLD, files: dict[Path, bytes] | None = None) -> int:
    request = NativeRequest(json.dumps(content).encode(), content, list(blocks_of(content)), files=files or {})
    return estimate_tokens(request, card)


def of(*blocks: Any, **fields: Any) -> int:
    return estimate({"messages": [{"role": "user", "content": list(blocks)}], **fields})


def image(data: bytes | str) -> dict[str, Any]:
    text = data if isinstance(data, str) else encoded(data)
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": text}}


def document(source: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "document", "source": source, **fields}


def pdf(data: bytes) -> dict[str, Any]:
    return document({"type": "base64", "media_type": "application/pdf", "data": encoded(data)})


EMPTY = of()


def test_text_counts_by_its_bytes_and_later_models_make_more_tokens_of_it() -> None:
    content = {"messages": [{"role": "user", "content": "é" * 1600}]}
    assert estimate(content) == 12 + 1000
    assert estimate(content, NEW) == 12 + -(-3200 * 10 // 27)
    assert BYTES_PER_TOKEN["claude-4-7"] < 3.3
    assert BYTES_PER_TOKEN["claude-3"] < 3.8


def test_it_is_never_zero() -> None:
    contents: list[dict[str, Any]] = [
        {}, {"messages": "x"}, {"messages": []}, {"tools": [], "system": None}, {"tools": {}},
    ]  # fmt: skip
    for content in contents:
        assert estimate(content) >= 1


def test_what_is_malformed_counts_too() -> None:
    for messages in ([1], [{"role": "user"}], [{"content": [1, "a", None]}], [{"content": {"a": 1}}]):
        assert estimate({"messages": messages}) >= 12
    assert of({"type": "image", "source": "x"}) > EMPTY
    assert of({"type": "text", "text": "\ud800"}) > EMPTY
    assert estimate({"messages": [], "tools": ["x"]}) > 600


def test_images_count_by_their_pixels_up_to_a_maximum() -> None:
    assert of(image(PNG)) - EMPTY == 1000
    huge = PNG[:16] + (9000).to_bytes(4, "big") + (9000).to_bytes(4, "big")
    assert of(image(huge)) - EMPTY == MAX_IMAGE_TOKENS["claude-3"] == 1600
    assert estimate({"messages": [{"role": "user", "content": [image(huge)]}]}, NEW) == 12 + 4784


@pytest.mark.parametrize("data", ["", "no base64!", "é", "AAAA"])
def test_an_image_that_cannot_be_read_counts_as_the_largest(data: str) -> None:
    assert of(image(data)) - EMPTY == 1600


def test_a_downloaded_file_counts_instead_of_its_url() -> None:
    block = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}
    content = {"messages": [{"role": "user", "content": [block]}]}
    source = json.dumps({"type": "base64", "media_type": "image/png", "data": encoded(PNG)}).encode()
    assert estimate(content, files={("messages", 0, "content", 0, "source"): source}) == 12 + 1000


@pytest.mark.parametrize(
    ("data", "pages"),
    [
        (b"%PDF-1.7 /Type /Pages /Count 3 /Type /Page /Type/Page /Type /Page", 3),
        (b"%PDF-1.7 /Type /Page", 1),
        (b"%PDF-1.7 " + bytes(140_000), 3),
        (b"%PDF-1.7 /Count 9999", 600),
        (b"", 1),
    ],
)
def test_pdfs_count_by_their_pages(data: bytes, pages: int) -> None:
    assert of(pdf(data)) - EMPTY == 2000 * pages


def test_documents_of_text_and_of_blocks() -> None:
    assert of(document({"type": "text", "media_type": "text/plain", "data": "a" * 320}, title="b" * 32)) - EMPTY == 110
    inner = {"type": "content", "content": [{"type": "text", "text": "a" * 320}, image(PNG)]}
    assert of(document(inner)) - EMPTY == 1100
    assert of(document({"type": "text", "data": "a"}, citations={"enabled": True})) - EMPTY > 600
    assert of(document({"type": "text", "data": "a"}, citations={"enabled": False})) - EMPTY < 20


def test_tool_results_count_with_what_they_contain() -> None:
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [image(PNG), {"type": "text", "text": "a"}]}
    assert 1000 < of(result) - EMPTY < 1010


def test_thinking_counts_by_its_signature_where_its_text_is_left_out() -> None:
    assert of({"type": "thinking", "thinking": "", "signature": "A" * 1280}) - EMPTY == 300
    assert of({"type": "thinking", "thinking": "a" * 3200, "signature": "A"}) - EMPTY == 1000
    assert of({"type": "redacted_thinking", "data": "A" * 1280}) - EMPTY == 300
    assert of({"type": "redacted_thinking", "data": 7}) > EMPTY


def test_markers_do_not_count() -> None:
    block = {"type": "text", "text": "a"}
    assert of(block | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}) == of(block)


def test_tools_cost_instructions_of_their_own() -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}}
    one, two = of(tools=[tool]), of(tools=[tool, tool])
    assert one - EMPTY > 600 + 50
    assert 50 < two - one < 100
    assert of(tools=[{"type": "web_search_20250305", "name": "web_search"}]) - EMPTY > 2800
    assert of(tools=[{"type": "bash_20250124", "name": "bash"}]) - EMPTY > 1500
    assert of(tools=[tool | {"type": None}]) - EMPTY < 1500


def test_options_cost_instructions_of_their_own() -> None:
    assert of(thinking={"type": "adaptive"}) - EMPTY == 45
    assert of(thinking={"type": "disabled"}) == of(thinking=None) == of(output_config={"effort": "low"}) == EMPTY
    assert of(context_management={"edits": []}) - EMPTY == 80
    schema = {"type": "json_schema", "schema": {"type": "object"}}
    assert of(output_config={"format": schema}) == of(output_format=schema) > EMPTY + 200


def test_recorded_requests_are_hardly_underestimated() -> None:
    """Only requests without features that the service expands by itself."""
    ratios: list[float] = []
    for path in sorted(FOLDER.glob("*.json")):
        recording = load(path)
        content, total = recording.get("upstream_request"), _input_tokens(recording)
        if not isinstance(content, dict) or not total or _is_expanded(content):
            continue
        ratios.append(estimate(content, builtin().find(str(content.get("model"))) or OLD) / total)
    if not ratios:
        pytest.skip("the recordings are not there")
    low = [ratio for ratio in ratios if ratio < 0.9]
    assert len(ratios) > 40
    assert len(low) <= len(ratios) * 0.05
    assert min(ratios) > 0.6
    assert sorted(ratios)[len(ratios) // 2] < 1.6


def _input_tokens(recording: dict[str, Any]) -> int:
    """What the service counted; 0 if the recording does not show it."""
    usage = (recording.get("body") or {}).get("usage") or {}
    for line in (recording.get("sse") or "").splitlines():
        if line.startswith("data:") and '"message_start"' in line:
            usage = json.loads(line.removeprefix("data:"))["message"]["usage"]
    fields = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(usage.get(field) or 0 for field in fields)


def _is_expanded(content: dict[str, Any]) -> bool:
    """Whether the service adds what the request does not show, or the recording has cut it."""
    tools = [tool.get("type") or "custom" for tool in content.get("tools") or []]
    files = ('"base64"', '"url"', '"file"')
    has_files = any(mark in json.dumps(content) for mark in files)
    return has_files or any(kind != "custom" for kind in tools) or "mcp_servers" in content or "container" in content
