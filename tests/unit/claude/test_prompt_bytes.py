"""Risk: an image counts as the text that it is encoded as, or a long text as an image."""

from __future__ import annotations

import base64
import json
import tracemalloc
from random import Random

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


def test_many_quotes_take_no_memory() -> None:
    """A list of millions of pieces would stop all other requests for seconds."""
    body = b'["base64",' + b'"",' * 300_000 + b'""]'
    tracemalloc.start()
    try:
        assert prompt_bytes(body) == len(body)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_files_are_found_wherever_they_lie() -> None:
    random = Random(7)
    for _ in range(300):
        sizes = [random.choice((0, 1, 4_095, 4_097, 8_191, 8_192, 8_193, 9_000, 30_000)) for _ in range(6)]
        texts = [b"base64", *(random.choice((b"x", b"y z")) * size for size in sizes)]
        body = random.choice((b"", b'"')).join([b'"'.join(texts), random.choice((b"", b"{}"))])
        files = [text for text in body.split(b'"') if len(text) > 8_192 and b" " not in text[:8_192]]
        assert prompt_bytes(body) == len(body) - sum(map(len, files)) + 4_000 * len(files)
