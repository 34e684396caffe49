"""Other gateways, if ``make bench-peers`` has installed them, in front of the same upstream.

Each runs as one process, with its default settings and access log.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.load import Target
from bench.processes import MeasuredProcess, free_port

ROOT = Path(__file__).parents[1]
LITELLM = ROOT / ".venv-bench-litellm" / "bin" / "litellm"
PORTKEY = ROOT / "bench" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"


def versions() -> dict[str, str]:
    """The versions of the gateways that are installed, by name."""
    installed = {}
    if LITELLM.exists():
        info = next(LITELLM.parents[1].glob("lib/python*/site-packages/litellm-*.dist-info"), None)
        installed["litellm"] = info.name.removeprefix("litellm-").removesuffix(".dist-info") if info else "?"
        installed["litellm"] += " (proxy, one worker, an anthropic/ model with api_base)"
    if PORTKEY.exists():
        installed["portkey"] = json.loads((PORTKEY.parents[1] / "package.json").read_text())["version"]
        installed["portkey"] += " (provider anthropic, a custom host in each request, @hono/node-server 1.13)"
    return installed


@contextlib.contextmanager
def litellm(folder: Path, upstream: str, cores: set[int] | None) -> Iterator[Target | None]:
    """LiteLLM's proxy with an ``anthropic/`` model whose ``api_base`` is the upstream. One worker, default settings."""
    if not LITELLM.exists():
        yield None
        return
    home, port = Path(tempfile.mkdtemp(prefix="litellm-", dir=folder)), free_port()
    config = home / "config.yaml"
    config.write_text(
        "model_list:\n  - model_name: claude-sonnet-4-6\n    litellm_params:\n"
        f"      model: anthropic/claude-sonnet-4-6\n      api_base: {upstream}\n      api_key: sk-x\n"
        "  - model_name: streamed\n    litellm_params:\n"
        f"      model: anthropic/claude-sonnet-4-6\n      api_base: {upstream}/stream\n      api_key: sk-x\n"
        "general_settings:\n  master_key: sk-bench\n"
    )
    process = MeasuredProcess(
        [str(LITELLM), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"], home / "log.txt", cores,
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    )  # fmt: skip
    try:
        process.wait_for(f"http://127.0.0.1:{port}/health/liveliness")
        yield Target(
            "LiteLLM", f"http://127.0.0.1:{port}", process, stream_model="streamed", slow=True
        )  # fmt: skip
    finally:
        process.stop()


@contextlib.contextmanager
def portkey(folder: Path, upstream: str, cores: set[int] | None) -> Iterator[Target | None]:
    """Portkey's gateway (Node). Headers of each request name the upstream."""
    if not PORTKEY.exists():
        yield None
        return
    home, port = Path(tempfile.mkdtemp(prefix="portkey-", dir=folder)), free_port()
    process = MeasuredProcess(
        ["node", str(PORTKEY), f"--port={port}", "--headless"], home / "log.txt", cores, NODE_ENV="production"
    )
    try:
        process.wait_for(f"http://127.0.0.1:{port}/")
        headers = {"x-portkey-provider": "anthropic", "x-portkey-custom-host": f"{upstream}/v1"}
        streams = {**headers, "x-portkey-custom-host": f"{upstream}/stream/v1"}
        yield Target(
            "Portkey", f"http://127.0.0.1:{port}", process, headers=headers, stream_headers=streams
        )  # fmt: skip
    finally:
        process.stop()
