"""The real JWT grant: a service account's key, google-auth, and a token endpoint that hands out what it asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.processes import Process


def key_file(folder: Path, token_uri: str) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "key.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "e2e-project",
                "private_key_id": "1",
                "private_key": pem.decode(),
                "client_email": "gateway@e2e-project.iam.gserviceaccount.com",
                "token_uri": token_uri,
            }
        )
    )
    path.chmod(0o600)
    return path


def test_a_service_account_file_opens_the_upstream(tmp_path: Path, serve: Any, emulate: Any) -> None:
    emulator: Process = emulate("--require-token")
    path = key_file(tmp_path, f"{emulator.url}/token")
    process = serve(emulator.url, auth=f'service_account_file = "{path}"')
    with openai.OpenAI(base_url=f"{process.url}/v1", api_key="x", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="claude-sonnet-4-6", max_tokens=50, messages=[{"role": "user", "content": "say exactly: open"}]
        )
    assert answer.choices[0].message.content == "open"


def test_a_wrong_static_token_is_the_operators_problem(serve: Any, emulate: Any) -> None:
    emulator: Process = emulate("--require-token")
    process = serve(emulator.url, auth='access_token = "made-up"')
    client = openai.OpenAI(base_url=f"{process.url}/v1", api_key="x", max_retries=0)
    with client, pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="claude-sonnet-4-6", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "upstream_auth_error"
    assert "made-up" not in str(caught.value)
    assert "made-up" not in process.output()
