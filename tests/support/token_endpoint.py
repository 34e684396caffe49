"""A Google token endpoint, metadata server, STS and IAM Credentials API on loopback, for tests of credentials.

It verifies requests the way Google does (signature, claims, lifetimes) and replies from its own thread. Not in this
module: imports of modelmux, so that it cannot share a bug with the code under test.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "https://oauth2.googleapis.com/token"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
IAM_SCOPE = "https://www.googleapis.com/auth/iam"  # requested by google-auth for impersonation
EMAIL = "gateway@some-project.iam.gserviceaccount.com"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
REFRESH_TOKEN = "1//0gCanaryRefreshTokenCanaryRefreshToken"
CLIENT_SECRET = "GOCSPX-CanaryClientSecretCanaryCl"


@cache
def private_key(which: int) -> rsa.RSAPrivateKey:
    """A key pair, generated once per process; ``which`` distinguishes several."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(which: int = 0) -> str:
    encoded = private_key(which).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded.decode()


@dataclass(frozen=True)
class IssuedToken:
    """One token that was issued."""

    grant_type: str
    token: str
    assertion: str = ""
    claims: dict[str, Any] | None = None
    form: dict[str, str] | None = None


class OAuthError(Exception):
    def __init__(self, description: str, error: str = "invalid_grant") -> None:
        super().__init__(description)
        self.body = {"error": error, "error_description": description}


class TokenEndpoint:
    """``with TokenEndpoint() as endpoint:``. The attributes may be changed while it runs.

    ``latency`` seconds pass before each reply; ``down`` drops connections without a reply; ``answers`` holds (status,
    body) pairs to send instead of the next tokens, with ``{assertion}`` in a body replaced by the request's;
    ``same_token`` issues one token repeatedly, as the cache of a metadata server does.
    """

    def __init__(self) -> None:
        self.expires_in: Any = 3600
        self.latency = 0.0
        self.down = False
        self.same_token = False
        self.has_service_account = True
        self.answers: deque[tuple[int, str]] = deque()
        self.issued: list[IssuedToken] = []
        self.requests: list[str] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.endpoint = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.authority}"

    @property
    def tokens(self) -> list[str]:
        return [issue.token for issue in self.issued]

    def service_account(self, **changes: Any) -> dict[str, Any]:
        """A service account key whose token_uri is this endpoint."""
        return {
            "type": "service_account",
            "project_id": "some-project",
            "private_key_id": "0123456789abcdef0123456789abcdef01234567",
            "private_key": private_pem(),
            "client_email": EMAIL,
            "token_uri": f"{self.url}/token",
            **changes,
        }

    def authorized_user(self, **changes: Any) -> dict[str, Any]:
        """The file that ``gcloud auth application-default login`` writes. google-auth ignores its token_uri, so tests
        have to patch ``google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT``."""
        return {
            "type": "authorized_user",
            "client_id": "client-1",
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH_TOKEN,
            "quota_project_id": "quota-project",
            **changes,
        }

    def answer(self, status: int, body: object, times: int = 1) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.answers.extend([(status, text)] * times)

    def grant(self, grant_type: str, **more: Any) -> dict[str, Any]:
        with self._lock:
            number = 0 if self.same_token else len(self.issued)
            token = f"ya29.CanaryAccessTokenCanaryAccessToken{number:04d}"
            self.issued.append(IssuedToken(grant_type, token, **more))
        return {"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer"}

    def check_assertion(self, assertion: str) -> dict[str, Any]:
        """The claims of a signed assertion that Google would accept.

        :raises OAuthError: with Google's message.
        """
        head, body, signature = assertion.split(".")
        if json.loads(_b64(head))["alg"] != "RS256":
            raise OAuthError("Invalid JWT: unsupported algorithm.")
        try:
            signed = f"{head}.{body}".encode()
            private_key(0).public_key().verify(_b64(signature), signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise OAuthError("Invalid JWT Signature.") from None
        claims: dict[str, Any] = json.loads(_b64(body))
        if claims.get("iss") != EMAIL:
            raise OAuthError("Invalid grant: account not found")
        if claims.get("aud") != AUDIENCE:
            raise OAuthError("Invalid JWT: Failed audience check.")
        if claims.get("scope") not in {SCOPE, IAM_SCOPE}:
            raise OAuthError("Invalid scope", "invalid_scope")
        if abs(claims["iat"] - time.time()) > 300 or claims["exp"] - claims["iat"] != 3600:
            raise OAuthError(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
            )
        return claims


def _b64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    request_queue_size = 64
    endpoint: TokenEndpoint

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Disconnects of clients are expected."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        endpoint = self.server.endpoint
        body = self.rfile.read(int(self.headers["content-length"] or 0)).decode()
        path = self._receive()
        if path is None:
            return
        form = {name: values[0] for name, values in parse_qs(body).items()}
        if endpoint.answers:
            status, text = endpoint.answers.popleft()
            self._send(status, text.replace("{assertion}", form.get("assertion", "")))
            return
        try:
            if path.endswith(":generateAccessToken"):
                self._impersonate()
            elif path == "/sts":
                self._send(200, endpoint.grant("sts", form=form))
            elif form.get("grant_type") == JWT_GRANT:
                claims = endpoint.check_assertion(form["assertion"])
                self._send(200, endpoint.grant("jwt", assertion=form["assertion"], claims=claims))
            elif form.get("grant_type") == "refresh_token" and form["refresh_token"] == REFRESH_TOKEN:
                self._send(200, endpoint.grant("refresh_token", form=form))
            else:
                raise OAuthError("Bad Request")
        except OAuthError as refused:
            self._send(400, refused.body)

    def _impersonate(self) -> None:
        endpoint = self.server.endpoint
        if self.headers["authorization"].removeprefix("Bearer ") not in endpoint.tokens:
            raise OAuthError("unknown token")
        token = endpoint.grant("impersonation")
        expiry = datetime.now(UTC) + timedelta(seconds=endpoint.expires_in)
        self._send(200, {"accessToken": token["access_token"], "expireTime": expiry.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def do_GET(self) -> None:
        """The metadata server."""
        endpoint = self.server.endpoint
        path = self._receive()
        account = "/computeMetadata/v1/instance/service-accounts/default"
        if path is None:
            return
        if self.headers["metadata-flavor"] != "Google":
            self._send(403, "Missing Metadata-Flavor:Google header.")
        elif path == "/":
            self._send(200, "computeMetadata/", "application/text")
        elif path == "/computeMetadata/v1/project/project-id":
            self._send(200, "metadata-project", "application/text")
        elif "/service-accounts/" in path and not endpoint.has_service_account:
            self._send(404, "<html>not found</html>", "text/html")
        elif path == f"{account}/":
            self._send(200, {"email": EMAIL, "aliases": ["default"], "scopes": [SCOPE]})
        elif path in {f"{account}/token", f"{account.removesuffix('default')}{EMAIL}/token"}:
            self._send(200, endpoint.grant("metadata"))
        else:
            self._send(404, "not found", "text/plain")

    def _receive(self) -> str | None:
        """The path of the request, after the latency; None to drop the connection."""
        endpoint = self.server.endpoint
        path = urlsplit(self.path).path
        endpoint.requests.append(f"{self.command} {self.path}")
        if endpoint.latency:
            time.sleep(endpoint.latency)
        return None if endpoint.down else path

    def _send(self, status: int, body: object, content_type: str = "application/json") -> None:
        payload = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("metadata-flavor", "Google")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""
