"""Keys over the admin API."""

from __future__ import annotations

from modelmux.accounts.secret_format import is_secret
from support.admin import Admin, organisation


async def test_a_key_is_created_with_its_secret_once(admin: Admin) -> None:
    team = (await admin.ok("GET", "/keys"))["data"]
    assert team == []
    made = await admin.ok("POST", "/keys", {"name": "laptop", "models": ["fast"], "limits": {"rpm": 60}})
    assert is_secret(made["secret"])
    read = await admin.ok("GET", f"/keys/{made['id']}")
    assert read["hint"] == f"{made['secret'][:11]}...{made['secret'][-4:]}"
    assert "secret" not in read
    assert (read["name"], read["models"], read["limits"], read["budgets"]) == ("laptop", ["fast"], {"rpm": 60}, [])
    assert (await admin.ok("GET", "/keys"))["data"][0]["id"] == made["id"]


async def test_what_was_set_reads_back(admin: Admin) -> None:
    await organisation(admin)
    form = {
        "name": "ci", "team": "own", "person": "own@example.com", "models": ["fast", "deep-*"], "apis": ["chat"],
        "addresses": ["10.0.0.0/8"], "tags": {"app": "ci"}, "limits": {"tpm": 5, "concurrent": 1},
        "expires_at": "2027-01-01T00:00:00Z",
    }  # fmt: skip
    made = await admin.ok("POST", "/keys", form)
    read = await admin.ok("GET", f"/keys/{made['id']}")
    assert {name: read[name] for name in form} == form | {"team": "team_own", "person": "usr_own"}


async def test_a_list_comes_in_pages(admin: Admin) -> None:
    await organisation(admin)
    names, after = [], ""
    while True:
        page = await admin.ok("GET", "/keys", query=f"limit=2&after={after}")
        names += [key["name"] for key in page["data"]]
        if not page["has_more"]:
            break
        after = page["next"]
        await admin.ok("POST", "/keys", {"name": f"new-{len(names)}"})
        if len(names) > 12:
            break
    assert len(names) == len(set(names))
    assert {"own", "service", "low", "top", "other", "free"} <= set(names)
