"""A gateway with accounts and its dashboard as processes, and Debian's Chromium to visit it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.cli import run_process
from support.processes import Process, free_port
from support.workers import until

#: Milliseconds that the browser waits for what is to come, however busy the machine is.
PATIENCE = 100_000
#: Sizes of windows.
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
TOKEN = "mmx-admin-of-the-first-owner"
MODEL = "claude-sonnet-4-6"
_CONFIG = """
[server]
state_dir = "{folder}"
api_keys = ["sk-of-the-operator"]
[auth]
access_token = "t"
[vertex]
project = "p"
location = "global"
base_url = "{upstream}"
{more}
[admin]
listen = "127.0.0.1:{port}"
token = "{token}"
{admin}
"""
_ACCOUNTS = "[accounts]\nenabled = true\n[capture]\nenabled = true"


class DashboardGateway:
    """
    :param accounts: whether it has them. :param admin: further lines of ``[admin]``.
    :ivar url: of the listener of the dashboard. :ivar gateway_url: where models are served.
    """

    def __init__(
        self, folder: Path, upstream: str, workers: int = 1, *, accounts: bool = True, admin: str = ""
    ) -> None:
        self.folder = folder
        self._admin_port, port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self._admin_port}"
        self.gateway_url = f"http://127.0.0.1:{port}"
        self._config = folder / "config.toml"
        more = _ACCOUNTS if accounts else ""
        text = _CONFIG.format(
            folder=folder, upstream=upstream, port=self._admin_port, token=TOKEN, more=more, admin=admin
        )
        self._config.write_text(text)
        self.process = Process(
            folder / "log", "serve", "--config", str(self._config), "--port", str(port), "--workers", str(workers),
            port=port, MODELMUX_ADMIN_LISTEN="",
        )  # fmt: skip
        self.process.wait_ready("/readyz")
        until(lambda: "apis=admin" in self.process.output())

    def modelmux(self, *arguments: str) -> str:
        result = run_process(*arguments, "--config", str(self._config), home=self.folder)
        assert result.code == 0, result.stderr
        return result.stdout.strip()

    def api(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {TOKEN}"}
        response = httpx2.request(method, f"{self.url}/admin/v1{path}", json=body, headers=headers, timeout=100)
        assert response.status_code < 300, response.text
        return response.json()

    def ask(self, secret: str, text: str = "Hi", request_id: str = "", **fields: Any) -> httpx2.Response:
        """A request of a model by its API. :param request_id: ``x-request-id``."""
        body = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": text}]} | fields
        headers = {"x-api-key": secret, "anthropic-version": "2023-06-01"}
        headers |= {"x-request-id": request_id} if request_id else {}
        return httpx2.post(f"{self.gateway_url}/v1/messages", json=body, headers=headers, timeout=100)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser of Playwright; skips where there is none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium; on Debian: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """A window of a browser, and what went wrong in it.

    :ivar problems: errors of the console, of scripts and of the content security policy, and requests to elsewhere.
    """

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.url = url
        self.problems: list[str] = []
        self.page.on("console", lambda message: message.type in ("error", "warning") and self._note(message.text))
        self.page.on("pageerror", lambda error: self._note(str(error)))
        self.page.on("request", lambda request: request.url.startswith((url, "data:")) or self._note(request.url))

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def sign_in(self, link: str) -> None:
        self.page.goto(link)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Overview").wait_for()

    def close(self) -> None:
        self.context.close()

    def _note(self, problem: str) -> None:
        self.problems.append(problem)
