"""Risk: an image counts as the text that it is encoded as, or a long text as an image."""

from __future__ import annotations

import base64
import json

from modelmux.claude.prompt_bytes import prompt_bytes


def test_text_counts_as_it_is() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "word " * 20_000}]}).encode()
    assert prompt_bytes(body) == len(body)


def test_a_file_counts_as_a_file() -> None:
    data = base64.b64encode(bytes(300_000)).decode()
    source = {"type": "base64", "media_type": "image/png", "data": data}
    rest = {"text": "word " * 20_000, "source": source | {"data": ""}}
    size = prompt_bytes(json.dumps({"text": "word " * 20_000, "source": source}).encode())
    assert size == len(json.dumps(rest).encode()) + 4_000


def test_a_small_file_counts_as_text() -> None:
    body = json.dumps({"source": {"type": "base64", "data": "A" * 2_000}}).encode()
    assert prompt_bytes(body) == len(body)
