"""Risk: a key, a token or a project id that a client wrote somewhere is in the log; or ordinary text is damaged."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.wire.redaction import REDACTED, beginning, redacted, redaction_of

_KEY = st.text(string.ascii_letters + string.digits + "-_", min_size=16, max_size=60)
_PROJECT = st.from_regex(r"[a-z][a-z0-9]{5,20}-[0-9]{2,6}", fullmatch=True)
_SLASH = st.sampled_from(["/", "//", "%2F", "%2f", "%252F", "/%2F", "/./", "/../", "/%2E/", "\\", ":", "%5C", "%3A"])
_TOKENS = st.builds(
    str.__add__, st.sampled_from(["sk-", "SK-", "sk-proj-", "sk-ant-api03-", "AIza", "ya29.", "AQ.A"]), _KEY
)
#: What may be before a secret: nothing of it makes it a part of a word.
_BEFORE = st.sampled_from(["", "x:", "v@", "/", "a b ", "key=", "%3A", "%253A", "(", "_", "name-", "é"])
_AFTER = st.sampled_from(["", "/x", " x", "&y=1", '"', ")", "\\", ","])
_TASKS = ["task-runner", "disk-cache-2.0", "risk-free", "desk-management-assistant-v2", "mask-4"]
ORDINARY = [
    *_TASKS, "claude-opus-4-5@20251101", "anthropic/claude-sonnet-4.5:free", "gpt-5-mini", "o3",
    "publishers/google/models/x",
    "https://cloud.google.com/docs/authentication/external/set-up-adc", "https://github.com/orgs/x/repos?page=2#top",
    "claude-cli/2.1.0 (external, cli)", "OpenAI/Python 1.99.0", "codex_cli_rs/0.55 (Ubuntu 24.4; x86_64) xterm",
    "Mozilla/5.0 (X11; U; Linux x86_64; sk-SK; rv:1.9) Gecko/20100101", "Mozilla/5.0 (X11; sk) AppleWebKit/537.36",
    "/v1/chat/completions", "/v1/projects", "/v1/projects/", "/v1//0abc", "maya29.jpg", "sk-", "AIza",
    "req_0123456789abcdef",
    "0b5f0f5a-9d0e-4a1c-8f6e-1b2c3d4e5f60", "/v1/task-lists/12",
    "task-0123456789abcdef0123456789abcdef", "disk-9f86d081884c7d65", "TASK-01HXYZ0123456789ABCD", "/docs/sk-learn",
    "sk-learn/1.5", "monkeyJungleBook2016edition", "/my-projects/foo", "my_projects:foo", "subprojects/foo",
    "risk_live_0123456789", "asia-northeast1", "Basic Authentication", "basic:claude-opus-4-8", "basic:assistant",
    "BasicClient/1.0", "100%25", "%zz", "%", "caf%C3%A9", "xoxo-1", "r8_x",
]  # fmt: skip


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    assert redacted(text) == text


@given(st.lists(st.sampled_from(ORDINARY), min_size=1, max_size=4), st.sampled_from([" ", " (", "; ", ", "]))
def test_ordinary_texts_stay_together(texts: list[str], separator: str) -> None:
    text = separator.join(text for text in texts if not text.endswith(("projects", "projects/")))
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x:sk-1234", "x:-"),
        ("v@sk-abc", "v@-"),
        ("sk-proj-abc", "-"),
        ("/sk-modelmux-key/v1/chat", "/-/v1/chat"),
        ("sk%2Dabcdef", "-"),
        ("keysk-ant-api03-AbCd1234EfGh5678Ijkl", "key-"),
        ("keyAIzaSyD-abc123", "key-"),
        ("foo:ya29.a0AfH6", "foo:-"),
        ("tokenya29.a0AfH6SMBx0123456789", "token-"),
        ("AQ.Ab8RN6abcdefgh", "-"),
        ("1//0gabcdefgh-x", "-"),
        ("GOCSPX-abc", "-"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIi.c2ln", "-"),
        ("x-gsk_abcdefghijklmnop12", "x--"),
        ("projects/secret-42/locations/eu", "projects/-/locations/eu"),
        ("Projects/secret-42", "Projects/-"),
        ("projects//secret-42/x", "projects//-/x"),
        ("projects/../secret-42/x", "projects/../-/x"),
        ("projects%2Fsecret-42%2Flocations", "projects%2F-%2Flocations"),
        ("projects%252Fexample.com%253Asecret%252Flocations", "projects%252F-%252Flocations"),
        ("projects/-/x", "projects/-/x"),
        ("projects/a-1/projects/b-2", "projects/-/projects/-"),
        ("sk-one1/sk-two2", "-/-"),
        ("sk_live_abcdefgh12", "-"),
        ("x=sk_test_abcdefgh12&y", "x=-&y"),
        ("AKIAIOSFODNN7EXAMPLE", "-"),
        ("keyASIAIOSFODNN7EXAMPLE/x", "key-/x"),
        ("xoxb-123456789012-abc", "-"),
        ("xoxp-123456789012", "-"),
        ("ghr_abcdefghijklmnop12", "-"),
        ("glpat-abcdEFGH1234", "-"),
        ("r8_abcdefghijklmnop12", "-"),
        ("Basic:dXNlcjpwYXNz", "Basic:-"),
        ("Basic dXNlcjpwYXNzd29yZA== x", "Basic - x"),
        ("Basic%3AdXNlcjpwYXNz", "Basic%3A-"),
        ("ya29%2Ea0AfH6", "-"),
        ("1%2F%2F0gabcdefgh-x", "-"),
        ("%73k-ant-api03", "-"),
        ("%2573k%252Dant-api03", "-"),
        ("a%20sk-one1%20b", "a%20-%20b"),
        ("%41KIAIOSFODNN7EXAMPLE", "-"),
        ("tokeneyJhbGciOiJSUzI1NiJ9.eyJzdWIi.c2ln", "token-"),
        ("projects\\secret-42\\x", "projects\\-\\x"),
        ("projects:secret-42", "projects:-"),
        ("projects/secret/x", "projects/-/x"),
        ("my-projects/secret-42/x", "my-projects/-/x"),
        ("projects/%2E/secret-42/x", "projects/%2E/-/x"),
        ("pr%6Fjects/secret-42/x", "pr%6Fjects/-/x"),
    ],
)
def test_secrets_go_and_the_rest_stays(text: str, shown: str) -> None:
    assert redacted(text) == shown


@given(_BEFORE, _TOKENS, _AFTER)
def test_no_key_survives_wherever_it_begins(before: str, token: str, after: str) -> None:
    shown = redacted(f"{before}{token}{after}")
    assert token not in shown
    assert token[-12:] not in shown
    assert shown == f"{before}-{after}"


@given(st.sampled_from(["key", "X", "9"]), st.sampled_from(["sk-", "ya29."]), st.text("aB3", min_size=16).filter(
    lambda text: any(map(str.isdigit, text[:16]))
))  # fmt: skip
def test_inside_of_a_word_what_looks_random_is_a_key(before: str, prefix: str, key: str) -> None:
    assert redacted(before + prefix + key) == f"{before}-"


@given(
    _BEFORE.filter(lambda before: not before.endswith(("_", "-"))),
    _SLASH,
    _PROJECT,
    st.sampled_from(["", "/locations/eu", "%2Flocations%2Feu"]),
)
def test_no_project_survives(before: str, slash: str, project: str, after: str) -> None:
    shown = redacted(f"{before}projects{slash}{project}{after}")
    assert project not in shown
    assert shown.endswith(f"-{after}")


@given(st.text(max_size=300))
def test_any_text_is_read_and_read_twice_alike(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


@given(st.text("sk-eyJ.1/%25273projectsAIza29: aB", max_size=60))
def test_a_redacted_text_has_nothing_left_to_redact(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    ("text", "length", "shown"),
    [
        ("one two", 7, "one two"),
        ("one two", 6, "one "),
        ("/one/two", 7, "/one/"),
        ("one two ", 4, "one "),
        ("onetwo", 4, REDACTED),
    ],
)
def test_a_text_that_is_cut_loses_its_last_word(text: str, length: int, shown: str) -> None:
    assert beginning(text, length) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("team-key-0001", "-"),
        ("xteam-key-0001y", "x-y"),
        ("/team-key-0001-longer/x", "/-/x"),
        ("te%61m%2Dkey-0001%20x", "-%20x"),
        ("schl\u00fcssel", "-"),
        ("schl\u00fcssel".encode().decode("latin-1"), "-"),
        ("sk-other team-key-0001", "- -"),
        ("team/sk-0001/x", "-/x"),
        ("short", "short"),
        ("team-key-0002", "team-key-0002"),
    ],
)
def test_known_keys_go_whatever_their_shape(text: str, shown: str) -> None:
    keys = ["team-key-0001", "team-key-0001-longer", "schl\u00fcssel", "team/sk-0001", "short", " "]
    assert redaction_of(keys)(text) == shown
    assert redaction_of([])("/v1/team-key-0001 sk-x") == "/v1/team-key-0001 -"
