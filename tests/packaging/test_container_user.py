"""Risk: the documented `docker run` starts a gateway that cannot read its credentials, or cannot keep its seal key.

Without a container engine: the same user ids, modes and variables, without capabilities, by setpriv.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.processes import Process, free_port

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "packaging/docker/Dockerfile").read_text()
IMAGE_USER = 10001
OWNER = 4711  # of the credentials, as a person's user on the host
SETPRIV = shutil.which("setpriv")
KEY = "sk-modelmux-container"


def become(user: int) -> list[str]:
    assert SETPRIV is not None
    return [
        SETPRIV, "--reuid", str(user), "--regid", str(user), "--clear-groups", "--bounding-set=-all",
        "--inh-caps=-all", "--no-new-privs",
    ]  # fmt: skip


def can_run_as_others() -> str | None:
    """Why the tests cannot run here; None if they can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "needs root, to become other users"
    if SETPRIV is None:
        return "needs setpriv"
    tried = subprocess.run(
        [*become(OWNER), sys.executable, "-c", "import modelmux"], capture_output=True, cwd="/", check=False
    )
    return "other users cannot run this Python, or cannot be given up all capabilities" if tried.returncode else None


@pytest.fixture(autouse=True, scope="module")
def possible() -> None:
    reason = can_run_as_others()
    if reason is not None:
        pytest.skip(reason)


class Container:
    """The gateway as in the image: its variables, no home of its own, a volume with the image's owner and mode."""

    def __init__(self, folder: Path, upstream: Process) -> None:
        self.folder = folder
        self.url = ""
        self.volume = folder / "volume"
        match = re.search(r"install -d -m (\d+)(?: -o (\d+) -g (\d+))? /var/lib/modelmux", DOCKERFILE)
        assert match is not None
        self.volume.mkdir()
        self.volume.chmod(int(match[1], 8))
        os.chown(self.volume, int(match[2] or 0), int(match[3] or 0))
        self.credentials = folder / "google.json"
        key = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        content = {
            "type": "service_account", "project_id": "p", "private_key_id": "1", "private_key": key.decode(),
            "client_email": "gateway@p.iam.gserviceaccount.com", "token_uri": f"{upstream.url}/token",
        }  # fmt: skip
        self.credentials.write_text(json.dumps(content))
        self.own(OWNER, 0o600)
        for each in (folder, *folder.parents):
            if not each.stat().st_mode & 1:
                each.chmod(0o711)
        tmp = folder / "tmp"
        tmp.mkdir()
        tmp.chmod(0o1777)
        self._upstream = upstream
        self._tmp = tmp
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "log"

    def own(self, user: int, mode: int) -> None:
        """Give the credentials to a user."""
        os.chown(self.credentials, user, user)
        self.credentials.chmod(mode)

    def start(self, user: int) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        variables = dict(re.findall(r"(MODELMUX_[A-Z_]+)=(\S+)", DOCKERFILE)) | {
            "MODELMUX_SERVER_STATE_DIR": str(self.volume), "MODELMUX_SERVER_PORT": str(port),
            "HOME": str(self._tmp), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1",
            "MODELMUX_API_KEYS": KEY, "VERTEX_PROJECT": "p", "VERTEX_LOCATION": "global",
            "MODELMUX_VERTEX_BASE_URL": self._upstream.url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.credentials),
        }  # fmt: skip
        assert variables["MODELMUX_SERVER_HOST"] == "0.0.0.0"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*become(user), sys.executable, "-m", "modelmux", "serve"], env=variables, cwd="/", stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    def ask(self) -> str:
        """What the model says; retries until the gateway listens."""
        with openai.OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0) as client:
            for _ in range(3000):
                try:
                    answer = client.chat.completions.create(
                        model="claude-sonnet-4-6", max_tokens=50,
                        messages=[{"role": "user", "content": "say exactly: inside"}],
                    )  # fmt: skip
                    return answer.choices[0].message.content or ""
                except openai.APIConnectionError:
                    assert self._process is not None
                    assert self._process.poll() is None, self._log.read_text()
                    time.sleep(0.1)
        raise AssertionError(self._log.read_text())

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(100)


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    port = free_port()
    (tmp_path / "emulator").mkdir()
    emulator = Process(
        tmp_path / "emulator/log", "emulate", "--port", str(port), "--tokens-per-second", "0", "--require-token",
        port=port,
    )  # fmt: skip
    emulator.wait_ready("/healthz")
    made = Container(tmp_path, emulator)
    yield made
    made.stop()
    emulator.stop()


def test_the_user_of_the_image_cannot_read_a_private_file_and_is_told_so(container: Container) -> None:
    container.start(IMAGE_USER)
    with pytest.raises(openai.APIStatusError) as caught:
        container.ask()
    assert "The Google credentials file cannot be read." in caught.value.message
    assert "--user" in caught.value.message


@pytest.mark.parametrize(
    ("user", "owner", "mode"),
    [(OWNER, OWNER, 0o600), (IMAGE_USER, IMAGE_USER, 0o400), (IMAGE_USER, IMAGE_USER, 0o440)],
    ids=["as the owner", "a copy for the image's user", "a copy for the image's group"],
)
def test_the_documented_ways_work_and_the_volume_is_used(
    container: Container, user: int, owner: int, mode: int
) -> None:
    if mode == 0o440:
        os.chown(container.credentials, 0, owner)
        container.credentials.chmod(mode)
    else:
        container.own(owner, mode)
    container.start(user)
    assert container.ask() == "inside"
    info = (container.volume / "seal.key").stat()
    assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (user, 0o600)
