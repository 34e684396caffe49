"""The examples of docs/admin-api.md are what the API answers, and its table is that of the operations."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from modelmux.accounts.roles import PERMISSIONS
from modelmux.admin.operations import OPERATIONS
from support.admin import Admin

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "admin-api.md").read_text("utf-8")
_EXAMPLE = re.compile(r"```http\n(\w+) /admin/v1(\S+)\n(.*?)```(?:\s*```json\n(.*?)```)?", re.DOTALL)


def _matches(shown: Any, real: Any) -> bool:
    """``…`` stands for any characters."""
    if isinstance(shown, str) and shown.endswith("…"):
        return isinstance(real, str) and real.startswith(shown[:-1])
    if isinstance(shown, dict):
        return (
            isinstance(real, dict) and shown.keys() == real.keys() and all(_matches(shown[k], real[k]) for k in shown)
        )
    if isinstance(shown, list):
        return isinstance(real, list) and len(shown) == len(real) and all(map(_matches, shown, real))
    return bool(shown == real)


async def test_the_examples_are_right(admin: Admin) -> None:
    examples = _EXAMPLE.findall(TEXT)
    assert len(examples) >= 8
    ids: dict[str, str] = {}
    for method, path, body, reply in examples:
        for name, id in ids.items():
            path = path.replace(name, id)
        path, _, query = path.partition("?")
        response = await admin.call(method, path, body.encode(), query=query)
        answer = response.json()
        if reply:
            assert _matches(json.loads(reply), answer), answer
        assert response.status < 300 or '"error"' in reply
        for prefix, name in (("key_", "KEY_ID"), ("bud_", "BUDGET_ID"), ("whk_", "WEBHOOK_ID")):
            if str(answer.get("id", "")).startswith(prefix):
                ids[name] = answer["id"]


def test_the_table_has_every_operation() -> None:
    for one in OPERATIONS:
        roles = ", ".join(role for role, permissions in PERMISSIONS.items() if one.permission in permissions)
        assert f"| `{one.method} {one.path}` | {roles} | {one.summary} |\n" in TEXT
