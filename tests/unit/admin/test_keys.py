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


async def test_a16_what_was_set_reads_back(admin: Admin) -> None:
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


async def test_a_key_opts_in_and_out_of_captures(admin: Admin) -> None:
    made = await admin.ok("POST", "/keys", {"name": "a", "capture": True})
    assert made["capture"]
    assert not (await admin.ok("POST", "/keys", {"name": "b"}))["capture"]
    path = f"/keys/{made['id']}"
    assert (await admin.ok("PATCH", path, {"models": ["fast"]}))["capture"]
    assert not (await admin.ok("PATCH", path, {"capture": False}))["capture"]
    await admin.refused(400, "PATCH", path, {"capture": "yes"})
    await admin.refused(403, "PATCH", path, {"capture": True}, role="member")


async def test_a_page_has_the_hints_of_its_own_keys_in_the_order_of_ids(admin: Admin) -> None:
    made = [await admin.ok("POST", "/keys", {"name": f"k{number}"}) for number in range(5)]
    await admin.ok("POST", f"/keys/{made[3]['id']}/rotate", {"grace": 60})
    newest = {key["id"]: key for key in made} | {made[3]["id"]: await admin.ok("GET", f"/keys/{made[3]['id']}")}
    page = await admin.ok("GET", "/keys", query=f"limit=2&after={made[1]['id']}")
    assert [key["id"] for key in page["data"]] == [made[2]["id"], made[3]["id"]]
    assert [key["hint"] for key in page["data"]] == [newest[key["id"]]["hint"] for key in page["data"]]
    assert page["has_more"]


async def test_keys_of_a_team_are_those_of_teams_below_it_too(admin: Admin) -> None:
    await organisation(admin)
    names = {team: {key["name"] for key in (await admin.ok("GET", "/keys", query=f"team={team}"))["data"]}
             for team in ("top", "own", "other")}  # fmt: skip
    assert names["own"]
    assert names["other"]
    assert not names["own"] & names["other"]
    assert names["own"] | names["other"] <= names["top"]
    assert "free" not in names["top"]


async def test_keys_are_chosen_by_when_they_expire(admin: Admin) -> None:
    for name, day in (("never", None), ("a", "2027-01-01"), ("b", "2027-01-02"), ("c", "2027-01-03")):
        await admin.ok("POST", "/keys", {"name": name} | ({"expires_at": f"{day}T00:00:00Z"} if day else {}))
    query = "expires_after=2027-01-02T00:00:00Z"
    for chosen, names in ((query, ["b", "c"]), (f"{query}&expires_before=2027-01-03T00:00:00Z", ["b"])):
        assert [one["name"] for one in (await admin.ok("GET", "/keys", query=chosen))["data"]] == names
    assert (await admin.refused(400, "GET", "/keys", query="expires_after=soon"))["param"] == "expires_after"
