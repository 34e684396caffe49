"""The checks of ``modelmux doctor``, each on its own: what they find and what they say to do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.cli.doctor import network
from modelmux.cli.doctor.credentials import check_credentials
from modelmux.cli.doctor.files import check_files
from modelmux.cli.doctor.live import check_live, explain
from modelmux.cli.doctor.models import check_models, check_origins
from modelmux.cli.doctor.network import check_network, clock_skew, judge_skew
from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.cli.doctor.server import check_log_directory, check_port, check_server
from modelmux.config import Config
from modelmux.emulator import EmulatorSettings
from modelmux.providers.vertex_claude.errors import translate_upstream_error
from modelmux.routing.model import Deployment
from modelmux.upstream.connect import tls_context
from modelmux.upstream.proxy import Proxies, Proxy
from modelmux.wire.google.errors import decode_error
from modelmux.wire.http import Origin
from support.emulator_server import threaded
from support.http_peers import peer, replies
from support.http_proxy import tunnel_proxy
from support.http_servers import Authority, asgi_server

TODAY = date(2026, 11, 23)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def subject(home: Path, toml: str, *, mode: int = 0o600, **variables: str) -> DoctorContext:
    file = home / "config.toml"
    file.write_text(toml)
    file.chmod(mode)
    environment = {"HOME": str(home), **variables}
    return DoctorContext(Path("config.toml"), {}, environment, environment)


def by_check(results: Any) -> Mapping[str, Result]:
    return {result.check: result for result in results}


PLAIN = '[vertex]\nproject = "p"\nlocation = "global"\n'
SECRET = PLAIN + '[auth]\naccess_token = "ya29.hush"\n'


@pytest.mark.parametrize(
    ("toml", "mode", "status", "says"),
    [
        (PLAIN, 0o644, "ok", "read; mode 0644"),
        (PLAIN, 0o664, "warn", "lets others change it"),
        (SECRET, 0o600, "ok", "read; mode 0600"),
        (SECRET, 0o640, "warn", "contains secrets, and mode 0640 lets others read them"),
    ],
)
def test_a_file_is_as_private_as_what_it_holds(tmp_path: Path, toml: str, mode: int, status: str, says: str) -> None:
    result = by_check(check_files(subject(tmp_path, toml, mode=mode)))["config.toml"]
    assert (result.status, says in result.detail) == (status, True)
    assert "hush" not in repr(result)
    assert (result.hint is None) == (status == "ok")


def test_the_dotenv_file_is_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MODELMUX_API_KEYS=sk-hush\nVERTEX_REGIO=x\n")
    (tmp_path / ".env").chmod(0o644)
    found = by_check(check_files(subject(tmp_path, PLAIN)))
    assert (found[".env"].status, found[".env"].hint) == ("warn", "run chmod 600 .env")
    assert "hush" not in repr(found)


def test_every_problem_of_the_configuration_is_told(tmp_path: Path) -> None:
    results = list(check_files(subject(tmp_path, "[server]\nprot = 1\n[vertex]\nprojct = 'p'\n")))
    assert [r.status for r in results] == ["fail", "fail"]
    assert "did you mean server.port?" in results[0].detail
    assert all(r.hint for r in results)


def test_the_key_file_has_to_be_there_and_private(tmp_path: Path) -> None:
    toml = PLAIN + '[auth]\nservice_account_file = "key.json"\n'
    assert by_check(check_files(subject(tmp_path, toml)))["credentials file"].status == "fail"
    (tmp_path / "key.json").write_text("{}")
    (tmp_path / "key.json").chmod(0o644)
    result = by_check(check_files(subject(tmp_path, toml)))["credentials file"]
    assert (result.status, result.hint) == ("warn", "run chmod 600 key.json")
    (tmp_path / "key.json").chmod(0o600)
    assert by_check(check_files(subject(tmp_path, toml)))["credentials file"].status == "ok"


def test_each_model_is_shown_with_its_url_and_who_said_so(tmp_path: Path) -> None:
    one = subject(tmp_path, PLAIN + '[[vertex.models]]\nname = "fast"\nmodel = "claude-haiku-4-5"\nlocation = "eu"\n',
                  VERTEX_MODEL_ID="claude-opus-5")  # fmt: skip
    list(check_files(one))
    found = list(check_models(one, TODAY))
    base = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/"
    assert found[0].detail == f"{base}claude-opus-5 (environment VERTEX_MODEL_ID)"
    assert found[1].check == "fast@eu"
    assert found[1].detail.startswith("https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/")
    assert found[1].detail.endswith("(config.toml:4)")
    assert (found[2].check, found[2].status) == ("fast", "warn")
    assert "may be retired already (from 2026-10-15 on)" in found[2].detail
    assert [r for r in check_models(one, date(2026, 8, 1)) if r.status != "ok"] == []
    (soon,) = [r for r in check_models(one, date(2026, 9, 1)) if r.status == "warn"]
    assert soon.detail == (
        "claude-haiku-4-5@20251001 may be retired from 2026-10-15 on, in 44 days; move to claude-haiku-5-5"
    )


def test_each_deployment_is_shown_once_with_the_entry_it_comes_from(tmp_path: Path) -> None:
    entries = (
        '[[vertex.models]]\nname = "a"\nmodel = "claude-sonnet-5"\nfallbacks = ["b", "claude-opus-4-8"]\n'
        '[[vertex.models]]\nname = "b"\nmodel = "claude-opus-5"\n'
    )
    context = subject(tmp_path, PLAIN + entries)
    list(check_files(context))
    results = [(result.check, result.detail.rpartition(" ")[2]) for result in check_models(context, date(2026, 8, 1))]
    assert results == [
        ("a@global", "(config.toml:4)"), ("b@global", "(config.toml:8)"), ("claude-opus-4-8@global", "(catalog)")
    ]  # fmt: skip
    assert [deployment.id for deployment, _ in context.deployments()] == [check for check, _ in results]


def test_a_login_in_a_url_is_masked(tmp_path: Path) -> None:
    one = subject(tmp_path, PLAIN + 'base_url = "https://me:hush@vertex.example"\nmodel = "claude-opus-5"\n')
    list(check_files(one))
    found = [*check_origins(one), *check_models(one, TODAY)]
    assert "https://***@vertex.example/v1/projects/p/" in found[-1].detail
    assert "hush" not in repr(found)


def test_the_source_that_won_is_named(tmp_path: Path) -> None:
    one = subject(tmp_path, PLAIN, ANTHROPIC_VERTEX_PROJECT_ID="other", CLOUD_ML_REGION="")
    list(check_files(one))
    found = by_check(check_origins(one))
    assert found["project"].detail == "other (environment ANTHROPIC_VERTEX_PROJECT_ID)"
    assert found["location"].detail == "global (config.toml:3)"


@pytest.mark.parametrize(
    ("seconds", "status", "says"),
    [(0.4, "ok", "right"), (-59, "ok", "-59 s"), (61, "warn", "61 s ahead"), (-299, "warn", "299 s behind"),
     (301, "fail", "rejects signed assertions"), (-4000, "fail", "behind")],
)  # fmt: skip
def test_a_clock_is_judged_by_how_far_it_is_off(seconds: float, status: str, says: str) -> None:
    result = judge_skew("clock", seconds)
    assert (result.status, says in result.detail) == (status, True)


def test_skew_is_measured_in_the_middle_of_the_exchange() -> None:
    date_header = "Mon, 23 Nov 2026 12:00:00 GMT"
    noon = 1_795_435_200.0
    assert clock_skew(date_header, noon + 100, noon + 101) == pytest.approx(100)
    assert clock_skew("yesterday", 0, 1) is None
    assert clock_skew(None, 0, 1) is None


def reach(origin: Origin, proxies: Proxies | None = None) -> list[Result]:
    return asyncio.run(network._host(origin, proxies or Proxies()))


def test_tls_is_timed_and_an_unknown_authority_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    with asgi_server("httptools", tls=authority.certificate("localhost")) as origin:
        (failed,) = reach(origin)
        assert failed.status == "fail"
        assert "certificate was not accepted" in failed.detail
        assert "CA certificate" in (failed.hint or "")
        context = tls_context(authority.file)
        monkeypatch.setattr(network, "tls_context", lambda: context)
        monkeypatch.setattr("modelmux.upstream.pool.tls_context", lambda: context)
        reached, clock = reach(origin)
    assert reached.status == "ok"
    for stage in ("DNS ", "TCP ", "TLS ", "(TLSv1."):
        assert stage in reached.detail
    assert (clock.status, clock.detail) == ("ok", "right")


def test_a_closed_port_and_a_name_without_an_address_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (refused,) = reach(Origin("http", "127.0.0.1", port))
    assert (refused.status, "connect" in refused.detail) == ("fail", True)
    (unknown,) = reach(Origin("https", "no-such-host.invalid", 443))
    assert (unknown.status, "could not be resolved" in unknown.detail) == ("fail", True)
    assert "vertex.location" in (unknown.hint or "")


async def test_a_host_is_reached_through_the_proxy() -> None:
    reply = b"HTTP/1.1 404 Not Found\r\ndate: Mon, 23 Nov 2020 12:00:00 GMT\r\ncontent-length: 0\r\n\r\n"
    async with peer(replies(reply)) as (origin, _), tunnel_proxy(origin.port) as proxy:
        proxies = Proxies(http=Proxy("127.0.0.1", proxy.port))
        reached, clock = await network._host(Origin("http", "vertex.invalid", 80), proxies)
    assert f"tunnel through proxy 127.0.0.1:{proxy.port}" in reached.detail
    assert clock.status == "fail"
    assert len(proxy.requests) == 2


def test_a_port_is_free_taken_or_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.settimeout(5)
        result = check_port("127.0.0.1", port)
        assert (result.status, result.detail) == ("fail", "in use by another program")
        assert f":{port}" in (result.hint or "")
    assert check_port("127.0.0.1", port).detail == "free"
    assert check_port("127.0.0.1", 0).status == "ok"
    assert check_port("192.0.2.1", 3000).status == "fail"


def test_the_log_directory_is_looked_at_and_not_made(tmp_path: Path) -> None:
    def check(**logs: Any) -> Result:
        return check_log_directory(Config.from_dict({"logs": logs}), {"HOME": str(tmp_path)})

    assert check().detail == f"{tmp_path}/.local/state/modelmux, 30 days kept"
    assert not (tmp_path / ".local").exists()
    (tmp_path / "file").touch()
    assert check(directory=str(tmp_path / "file" / "logs")).status == "warn"
    assert check(file=False).detail == "turned off by logs.file"


def deployment(model: str = "claude-opus-5", location: str = "global") -> Deployment:
    return Deployment("m@x", f"https://x/v1/{model}", "p", location, builtin().card(model))


def meaning(status: int, body: bytes, where: Deployment | None = None) -> Result:
    return explain(where or deployment(), translate_upstream_error(decode_error(status, body)), TODAY)


def google(code: int, status: str, message: str) -> bytes:
    return b'[{"error":{"code":%d,"status":"%s","message":"%s"}}]' % (code, status.encode(), message.encode())


QUOTA = (
    "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model with base model: "
    "anthropic-claude-opus. Please submit a quota increase request."
)
NOT_FOUND = "Publisher Model `projects/p/locations/l/publishers/anthropic/models/m` not found."


@pytest.mark.parametrize(
    ("status", "body", "where", "outcome", "found", "hint"),
    [
        (429, google(429, "RESOURCE_EXHAUSTED", QUOTA), None, "fail", "or 0 as in new projects", "request quota"),
        (429, google(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."), None, "warn",
         "busy", "try again in a minute"),
        (403, google(403, "PERMISSION_DENIED", "Permission 'aiplatform.endpoints.predict' denied on resource"), None,
         "fail", "do not have permission to call this model", "roles/aiplatform.user"),
        (403, google(403, "PERMISSION_DENIED", "Access to this model requires data sharing to be enabled"), None,
         "fail", "data sharing", "setPublisherModelConfig"),
        (404, google(404, "NOT_FOUND", NOT_FOUND), None, "fail", "not enabled", "Model Garden"),
        (404, google(404, "NOT_FOUND", NOT_FOUND), deployment(location="us-east5"), "fail",
         "is not served in us-east5", "use global, us or eu"),
        (404, google(404, "NOT_FOUND", NOT_FOUND), deployment("claude-haiku-4-5"), "fail", "probably retired",
         "use claude-haiku-5-5"),
        (404, google(404, "NOT_FOUND", NOT_FOUND), deployment("claude-sonnet-4"), "fail",
         "is retired (since 2026-09-14)", "use claude-sonnet-5-5"),
        (404, google(404, "NOT_FOUND", NOT_FOUND), deployment("claude-typo"), "fail", "is not in the catalog",
         "check the model's id"),
        (400, google(400, "FAILED_PRECONDITION",
                     "Project `1` is not allowed to use Publisher Model `projects/p/m`"), None, "fail",
         "is not enabled for this project", "Model Garden"),
        (400, google(400, "INVALID_ARGUMENT", "The model is not available in the region"),
         deployment(location="us-east5"), "fail", "cannot be called in us-east5", "use global, us or eu"),
        (401, google(401, "UNAUTHENTICATED", "Request had invalid credentials"), None, "fail",
         "rejects the access token", "renew"),
        (529, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', None, "warn",
         "overloaded", "again later"),
        (404, b"<!DOCTYPE html><title>Error 404</title>", deployment("claude-typo"), "fail", "404", "id"),
        (418, b"", None, "fail", "418", "check"),
    ],
)  # fmt: skip
def test_a_refusal_is_explained_with_its_remedy(
    status: int, body: bytes, where: Deployment | None, outcome: str, found: str, hint: str
) -> None:
    result = meaning(status, body, where)
    assert result.status == outcome
    assert found in result.detail
    assert str(status) in result.detail
    assert hint in (result.hint or "")


def live(home: Path, toml: str, settings: EmulatorSettings) -> list[Result]:
    with threaded(settings) as emulator:
        one = subject(home, toml.replace("URL", emulator.base_url))
        list(check_files(one))
        list(check_models(one, TODAY))
        one.token = "any"
        return check_live(one, TODAY)


CONFIGURED = (
    '[vertex]\nproject = "p"\nlocation = "global"\nbase_url = "URL"\n'
    '[[vertex.models]]\nname = "a"\nmodel = "claude-opus-5"\n[[vertex.models]]\nname = "b"\nmodel = "claude-nope"\n'
)
CATALOG = '[vertex]\nproject = "p"\nlocation = "global"\nbase_url = "URL"\n'


def test_live_asks_each_deployment_once(tmp_path: Path) -> None:
    found = by_check(live(tmp_path, CONFIGURED, EmulatorSettings(tokens_per_second=0)))
    assert found["a@global"].status == "ok"
    assert "responded in" in found["a@global"].detail
    assert found["b@global"].status == "fail"


def test_a_model_that_nobody_asked_for_may_be_unavailable_but_not_all_of_them(tmp_path: Path) -> None:
    some = live(tmp_path, CATALOG, EmulatorSettings(tokens_per_second=0, data_sharing=False))
    assert {r.status for r in some} == {"ok", "warn"}
    none = live(tmp_path, CATALOG, EmulatorSettings(tokens_per_second=0, projects=("other",)))
    assert {r.status for r in none} == {"fail"}


def test_live_without_what_it_needs_says_so(tmp_path: Path) -> None:
    one = subject(tmp_path, PLAIN)
    (skipped,) = check_live(one, TODAY)
    assert (skipped.status, "no deployments" in skipped.detail) == ("skip", True)
    list(check_files(one))
    list(check_models(one, TODAY))
    (skipped,) = check_live(one, TODAY)
    assert (skipped.status, "no access token" in skipped.detail) == ("skip", True)


@pytest.mark.parametrize("base_url", ["localhost:8787", "ftp://vertex.example", "http://host:port", "http://a b"])
def test_an_address_that_is_none_is_a_failure_and_no_crash(tmp_path: Path, base_url: str) -> None:
    one = subject(tmp_path, PLAIN + f'base_url = "{base_url}"\nmodel = "claude-opus-5"\n')
    list(check_files(one))
    list(check_models(one, TODAY))
    one.token = "any"
    for results in (check_network(one), check_live(one, TODAY)):
        assert [r.status for r in results] == ["fail"]
        assert results[0].hint


def test_a_proxy_that_is_none_is_a_failure_and_no_crash(tmp_path: Path) -> None:
    one = subject(tmp_path, PLAIN + 'model = "claude-opus-5"\n', HTTPS_PROXY="socks5://user:hush@x")
    list(check_files(one))
    list(check_models(one, TODAY))
    one.token = "any"
    (result,) = check_network(one)
    assert (result.status, "HTTPS_PROXY" in result.detail) == ("fail", True)
    assert "hush" not in repr(result)
    (result,) = check_live(one, TODAY)
    assert result.status == "skip"


def test_a_proxy_variable_that_is_none_is_one_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://x")
    one = subject(tmp_path, SECRET + "[server]\nport = 0\n", HTTPS_PROXY="socks5://x")
    results = [*check_files(one), *check_models(one, TODAY), *check_network(one), *check_server(one)]
    assert [r.check for r in results if r.status == "fail"] == ["proxy"]
    assert by_check(results)["start"] == Result("start", "skip", "needs the proxy variable",
                                                "correct the proxy variable first")  # fmt: skip


@pytest.mark.parametrize("path", ["/nonexistent/ca.pem", "", ".", "config.toml"])
@pytest.mark.parametrize("auth", ["", '[auth]\naccess_token = "t"\n'])
def test_a_file_of_authorities_that_cannot_be_used_is_one_failure(tmp_path: Path, path: str, auth: str) -> None:
    one = subject(tmp_path, f'{PLAIN}{auth}[tls]\nca_file = "{path}"\n[server]\nport = 0\n')
    results = [*check_files(one), *check_models(one, TODAY), *check_credentials(one), *check_network(one),
               *check_server(one), *check_live(one, TODAY)]  # fmt: skip
    (failed,) = (r for r in results if r.status == "fail")
    assert (failed.check, path in failed.detail) == ("tls.ca_file", True)
    assert ("is a directory; name a PEM file" in failed.detail) is (path == ".")
    assert "PEM file" in (failed.hint or "")
    skipped = {r.check: (r.detail, r.hint) for r in results if r.status == "skip"}
    needs = ("needs tls.ca_file", "correct tls.ca_file first")
    names = {"aiplatform.googleapis.com", "start", "live"} | (set() if auth else {"access token"})
    assert skipped == dict.fromkeys(names, needs)


def test_a_host_without_tls_is_checked_also_where_no_certificate_can_be_judged(tmp_path: Path) -> None:
    with asgi_server("httptools") as origin:
        one = subject(
            tmp_path, f'{PLAIN}base_url = "http://{origin.authority}"\n[tls]\nca_file = "/nonexistent/ca.pem"\n'
        )
        list(check_files(one))
        list(check_models(one, TODAY))
        assert by_check(check_network(one))[origin.authority].status == "ok"


@pytest.mark.parametrize("audience", ["", 'iap_audience = "/projects/1/apps/a"\n'])
def test_the_host_of_keys_for_sign_in_is_checked_where_they_are_used(tmp_path: Path, audience: str) -> None:
    with asgi_server("httptools") as origin:
        one = subject(tmp_path, f'{PLAIN}[admin]\n{audience}iap_keys_url = "http://{origin.authority}/keys"\n')
        list(check_files(one))
        found = by_check(check_network(one))
    assert (origin.authority in found) is bool(audience)
    assert all(found[name].status == "ok" for name in found if name == origin.authority)


def test_what_needs_accounts_is_no_failure_where_there_are_accounts(tmp_path: Path) -> None:
    """The check of the start builds a gateway without them."""
    toml = """
        [limits]
        wait = "5s"
        [accounts]
        enabled = true
        on_outage = "open"
        outage_allowance = "5"
        [[accounts.teams]]
        name = "all"
        [[accounts.budgets]]
        name = "all of us"
        limit = 50
        [[accounts.limits]]
        name = "all of us"
        rpm = 60
        [capture]
        enabled = true
    """
    context = subject(tmp_path, PLAIN + toml, MODELMUX_SERVER_PORT="0", MODELMUX_ADMIN_LISTEN="off")
    list(check_files(context))
    list(check_models(context, TODAY))
    found = list(check_server(context))
    assert [result for result in found if result.status == "fail"] == []
    assert by_check(found)["captured bodies"].status == "ok", "the configuration was read"
    wrong = subject(tmp_path, PLAIN + toml.replace("[[accounts.teams]]", 'zone = "Mars"\n[[accounts.teams]]'))
    list(check_files(wrong))
    list(check_models(wrong, TODAY))
    (failure,) = (result for result in check_server(wrong) if result.check == "start")
    assert failure.detail.startswith("accounts.zone: ")


def test_what_serve_would_refuse_at_its_start_is_told(tmp_path: Path) -> None:
    one = subject(tmp_path, PLAIN + '[fetch]\nallow_private = ["nowhere"]\n[server]\nhost = "0.0.0.0"\nport = 0\n')
    list(check_files(one))
    list(check_models(one, TODAY))
    found = by_check(check_server(one))
    assert (found["start"].status, "fetch" in found["start"].detail) == ("fail", True)
    assert (found["exposure"].status, "server.api_keys" in found["exposure"].detail) == ("fail", True)


@pytest.mark.parametrize(
    ("server", "status", "says"),
    [
        ("", "ok", "those of this machine"),
        ('allowed_hosts = ["gateway.lan"]', "ok", "and gateway.lan"),
        ('allowed_hosts = ["gateway.lan"]\napi_keys = ["sk-modelmux-first"]', "warn", "no effect"),
        ('allowed_hosts = ["gateway.lan"]\nhost = "0.0.0.0"\nallow_unauthenticated = true', "warn", "no effect"),
        ('api_keys = ["sk-modelmux-first"]', None, ""),
    ],
)
def test_the_names_under_which_it_is_served(tmp_path: Path, server: str, status: str | None, says: str) -> None:
    one = subject(tmp_path, PLAIN + f"[server]\nport = 0\n{server}\n")
    list(check_files(one))
    result = by_check(check_server(one)).get("host names")
    assert (result and result.status) == status
    assert result is None or says in result.detail


@pytest.mark.parametrize(("token", "status"), [("ya29.x", "warn"), ("ya29. x", "fail"), ("é", "fail")])
def test_a_token_that_cannot_stand_in_a_header_is_told(tmp_path: Path, token: str, status: str) -> None:
    one = subject(tmp_path, PLAIN + f'[auth]\naccess_token = "{token}"\n')
    list(check_files(one))
    result = by_check(check_credentials(one))["access token"]
    assert result.status == status
    assert token not in repr(result)
    assert (one.token is None) == (status == "fail")


@pytest.mark.parametrize(
    ("listen", "token", "status", "says"),
    [
        ("127.0.0.1:0", "", "warn", "has no token, so it refuses every request"),
        ("127.0.0.1:0", 'token = "token-of-the-owner"', "ok", "for this machine only"),
        ("0.0.0.0:0", 'token = "token-of-the-owner"', "warn", "other machines can reach it, and it has no TLS"),
        ("off", "", "ok", "switched off"),
        ("nonsense", "", None, ""),
    ],
)
def test_the_admin_api(tmp_path: Path, listen: str, token: str, status: str | None, says: str) -> None:
    accounts = f'[accounts]\nenabled = true\nstore = "sqlite:{tmp_path}/accounts.db"\n'
    admin = f'[admin]\nlisten = "{listen}"\n{token}\n'
    one = subject(tmp_path, f"{PLAIN}[server]\nport = 0\n{accounts}{admin}")
    list(check_files(one))
    results = by_check(check_server(one))
    result = results.get("admin API")
    assert (result and result.status) == status
    assert result is None or says in result.detail
    assert "token-of-the-owner" not in repr(results)
    if status is None:
        assert results["exposure"].status == "fail"


@pytest.mark.parametrize(
    ("settings", "status", "says"),
    [
        ('trusted_header = "x-email"\ntrusted_peers = ["10.0.3.7/32"]', "ok", "x-email is believed from 10.0.3.7/32"),
        ('trusted_header = "x-email"\ntrusted_peers = ["0.0.0.0/0"]', "warn", "from 0.0.0.0/0, where every"),
        ('trusted_header = "x-email"\ntrusted_peers = ["10.0.3.7", "10.0.3.8/31"]', "warn", "from 10.0.3.8/31, where"),
        ('iap_audience = "/projects/1/apps/a"', "ok", "the Identity-Aware Proxy, for /projects/1/apps/a"),
        ('trusted_peers = ["10.0.3.7/32"]', "warn", "has no effect without admin.trusted_header"),
        ("", None, ""),
        ('trusted_header = "x-email"', None, ""),
    ],
)
def test_sign_in_by_a_proxy(tmp_path: Path, settings: str, status: str | None, says: str) -> None:
    accounts = f'[accounts]\nenabled = true\nstore = "sqlite:{tmp_path}/accounts.db"\n'
    one = subject(tmp_path, f'{PLAIN}[server]\nport = 0\n{accounts}[admin]\nlisten = "127.0.0.1:0"\n{settings}\n')
    list(check_files(one))
    results = by_check(check_server(one))
    result = results.get("sign-in by a proxy")
    assert (result and result.status) == status
    assert result is None or says in result.detail
    assert result is None or bool(result.hint) == (status == "warn")
    assert ("refuses every request" in results["admin API"].detail) == (
        "trusted_header" not in settings and "iap" not in settings
    )


def test_a_public_listener_that_believes_anybody_does_not_start(tmp_path: Path) -> None:
    accounts = f'[accounts]\nenabled = true\nstore = "sqlite:{tmp_path}/accounts.db"\n'
    admin = '[admin]\nlisten = "0.0.0.0:0"\ntoken = "token-of-the-owner"\n'
    header = 'trusted_header = "x-email"\ntrusted_peers = ["0.0.0.0/0"]\n'
    one = subject(tmp_path, f"{PLAIN}[server]\nport = 0\n{accounts}{admin}{header}")
    list(check_files(one))
    result = by_check(check_server(one))["exposure"]
    assert result.status == "fail"
    assert "0.0.0.0/0, from where anybody could send x-email" in result.detail
    assert "addresses of the proxies" in (result.hint or "")


def test_tokens_without_accounts_are_told(tmp_path: Path) -> None:
    one = subject(tmp_path, f'{PLAIN}[server]\nport = 0\n[admin]\ntoken = "token-of-the-owner"\n')
    list(check_files(one))
    result = by_check(check_server(one))["admin API"]
    assert result.status == "warn"
    assert "admin.listen" in (result.hint or "")
    assert "accounts.enabled = true" in (result.hint or "")


def test_the_admin_api_without_accounts_is_checked_too(tmp_path: Path) -> None:
    one = subject(tmp_path, f'{PLAIN}[server]\nport = 0\n[admin]\nlisten = "0.0.0.0:0"\n')
    list(check_files(one))
    assert by_check(check_server(one))["exposure"].status == "fail"


def test_the_remedy_for_the_port_of_the_admin_api_names_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.settimeout(5)
        assert "admin.listen" in (check_port("127.0.0.1", taken.getsockname()[1], "admin.listen").hint or "")
