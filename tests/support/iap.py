"""Google's Identity-Aware Proxy for tests: keys, assertions, and the URL of its public keys on loopback.

No imports of modelmux or google-auth, so that it cannot share a mistake with the code under test.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

AUDIENCE = "/projects/123/global/backendServices/456"
HEADER = "x-goog-iap-jwt-assertion"


@cache
def private_key(kid: str) -> ec.EllipticCurvePrivateKey:
    """A key pair, generated once per process for each id."""
    del kid
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(kid: str) -> bytes:
    public = private_key(kid).public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def claims(now: float, **changes: Any) -> dict[str, Any]:
    """Those of an assertion that was just made. A change to None leaves a claim out."""
    usual = {
        "iss": "https://cloud.google.com/iap", "aud": AUDIENCE, "email": "own@example.com",
        "sub": "accounts.google.com:1", "iat": int(now), "exp": int(now) + 600,
    }  # fmt: skip
    return {name: value for name, value in (usual | changes).items() if value is not None}


def assertion(payload: dict[str, Any], signer: str = "one", **header: Any) -> str:
    """:param signer: the id of the key that signs, whatever the header says."""
    signed = unsigned(payload, {"alg": "ES256", "typ": "JWT", "kid": signer} | header)
    r, s = decode_dss_signature(private_key(signer).sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def unsigned(payload: dict[str, Any], header: dict[str, Any]) -> str:
    parts = [encoded(json.dumps({k: v for k, v in one.items() if v is not None}).encode()) for one in (header, payload)]
    return ".".join(parts)


def signed_by_public_key(payload: dict[str, Any], key: bytes, kid: str = "one") -> str:
    """With HS256, whose secret is the text of the public key."""
    signed = unsigned(payload, {"alg": "HS256", "typ": "JWT", "kid": kid})
    return f"{signed}.{encoded(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def jwk(kid: str) -> dict[str, str]:
    numbers = private_key(kid).public_key().public_numbers()
    x, y = (encoded(one.to_bytes(32, "big")) for one in (numbers.x, numbers.y))
    return {"alg": "ES256", "crv": "P-256", "kid": kid, "kty": "EC", "use": "sig", "x": x, "y": y}


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class KeyServer:
    """:ivar kids: the keys that it publishes. :ivar status: of its replies. :ivar fetches: how often it was asked.
    :ivar location: where a reply sends to. :ivar gate: replies end when it is set. :ivar asked: headers of requests."""

    def __init__(self) -> None:
        self.kids = ["one"]
        self.status = 200
        self.body: bytes | None = None
        self.fetches = 0
        self.url = ""
        self.location = ""
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[dict[str, str]] = []


@contextlib.contextmanager
def key_server() -> Iterator[KeyServer]:
    state = KeyServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.fetches += 1
            state.asked.append({name.lower(): value for name, value in self.headers.items()})
            body = json.dumps({"keys": [jwk(kid) for kid in state.kids]}).encode() if state.body is None else state.body
            self.send_response(state.status)
            self.send_header("content-length", str(len(body)))
            if state.location:
                self.send_header("location", state.location)
            self.end_headers()
            with contextlib.suppress(OSError):  # who asks may leave
                self.wfile.write(body[:1])
                state.gate.wait(60)
                self.wfile.write(body[1:])

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/iap/verify/public_key-jwk"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.gate.set()
        server.shutdown()
        thread.join(30)
        server.server_close()
