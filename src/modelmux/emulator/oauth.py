"""Access tokens: Google's OAuth token endpoint and metadata server.

Grants: ``urn:ietf:params:oauth:grant-type:jwt-bearer`` (service accounts; the claims are checked, and the signature if
a public key is set) and ``refresh_token`` (user credentials). Errors are OAuth's: 400 with ``error`` and
``error_description``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import OrderedDict
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from google.auth import crypt

JWT_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: The constant audience, whatever ``token_uri`` the key file has (anthropic-vertex.md 9).
AUDIENCE: Final = "https://oauth2.googleapis.com/token"
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_SKEW: Final = 60.0
_MAX_LIFETIME: Final = 3600.0
_MAX_TOKENS: Final = 10_000
METADATA: Final = "/computeMetadata/v1"


class OAuthError(Exception):
    """An OAuth error response; ``error`` is the code, ``description`` the text."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class IssuedTokens:
    """Access tokens this emulator issued, with their expiry times."""

    def __init__(self, lifetime: int, public_key: str | None, seed: int) -> None:
        self._lifetime = lifetime
        self._public_key = public_key
        self._seed = seed
        self._issued: OrderedDict[str, float] = OrderedDict()
        self._count = 0

    def is_valid(self, token: str, now: float) -> bool:
        return self._issued.get(token, 0.0) > now

    def issue(self, now: float) -> dict[str, Any]:
        self._count += 1
        digest = hashlib.blake2b(f"{self._seed}:{self._count}".encode(), digest_size=24).hexdigest()
        token = f"ya29.emulated-{digest}"
        self._issued[token] = now + self._lifetime
        while len(self._issued) > _MAX_TOKENS:
            self._issued.popitem(last=False)
        return {"access_token": token, "expires_in": self._lifetime, "token_type": "Bearer"}

    def grant(self, content_type: str, body: bytes, own_url: str, now: float) -> dict[str, Any]:
        """The response of the token endpoint.

        :raises OAuthError: the form, the grant or the assertion is not valid.
        """
        if not content_type.startswith("application/x-www-form-urlencoded"):
            raise OAuthError("invalid_request", "The request body must be application/x-www-form-urlencoded.")
        form = {key: values[0] for key, values in parse_qs(body.decode("utf-8", "replace")).items()}
        kind = form.get("grant_type", "")
        if kind == JWT_GRANT:
            self._check_assertion(form.get("assertion", ""), own_url, now)
            return self.issue(now)
        if kind == "refresh_token":
            for field in ("client_id", "client_secret", "refresh_token"):
                if not form.get(field):
                    raise OAuthError("invalid_request", f"Missing required parameter: {field}")
            return {**self.issue(now), "scope": SCOPE}
        if not kind:
            raise OAuthError("invalid_request", "Missing required parameter: grant_type")
        raise OAuthError("unsupported_grant_type", f"Invalid grant_type: {kind}")

    def _check_assertion(self, assertion: str, own_url: str, now: float) -> None:
        if not assertion:
            raise OAuthError("invalid_request", "Missing required parameter: assertion")
        header, claims = _decode_assertion(assertion)
        if header.get("alg") not in ("RS256", "ES256"):
            raise OAuthError("invalid_grant", "Invalid JWT: unsupported algorithm.")
        if not claims.get("iss"):
            raise OAuthError("invalid_grant", "Invalid grant: account not found")
        if claims.get("aud") not in (AUDIENCE, own_url):
            raise OAuthError("invalid_grant", "Invalid JWT: Failed audience check. The right audience is " + AUDIENCE)
        _check_times(claims, now)
        if not claims.get("scope") and not claims.get("target_audience"):
            raise OAuthError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        if self._public_key is not None and not _has_valid_signature(assertion, self._public_key):
            raise OAuthError("invalid_grant", "Invalid JWT Signature.")


def _check_times(claims: dict[str, Any], now: float) -> None:
    issued, expires = claims.get("iat"), claims.get("exp")
    if not (isinstance(issued, int) and isinstance(expires, int) and _is_timely(issued, expires, now)):
        raise OAuthError(
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat "
            "and exp values in the JWT claim.",
        )


def _is_timely(issued: int, expires: int, now: float) -> bool:
    return issued <= now + _SKEW and expires >= now - _SKEW and expires - issued <= _MAX_LIFETIME


def _decode_assertion(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = assertion.split(".")
    if len(parts) != 3:
        raise OAuthError("invalid_grant", "Invalid JWT: it must have three parts.")
    try:
        header, claims = (msgspec.json.decode(_decode_base64url(part)) for part in parts[:2])
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise OAuthError("invalid_grant", "Invalid JWT: it cannot be decoded.") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise OAuthError("invalid_grant", "Invalid JWT: header and claims must be objects.")
    return header, claims


def _decode_base64url(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _has_valid_signature(assertion: str, public_key: str) -> bool:
    message, _, signature = assertion.rpartition(".")
    try:
        decoded = _decode_base64url(signature)
    except (binascii.Error, ValueError):
        return False
    verifier = crypt.RSAVerifier.from_string(public_key)  # type: ignore[no-untyped-call]
    return bool(verifier.verify(message.encode(), decoded))


def metadata_resource(path: str, tokens: IssuedTokens, project: str, now: float) -> tuple[bytes, bytes] | None:
    """Content type and body of a path of the metadata server; None if there is no such path."""
    account = "emulator@modelmux.iam.gserviceaccount.com"
    resource = path.removeprefix(METADATA).strip("/")
    text = b"application/text"
    if resource == "":
        return text, b"instance/\noslogin/\nproject/\n"
    if resource == "project/project-id":
        return text, project.encode()
    if resource == "universe/universe-domain":
        return text, b"googleapis.com"
    if resource == "instance/service-accounts":
        return text, f"default/\n{account}/\n".encode()
    for name in ("default", account):
        base = f"instance/service-accounts/{name}"
        if resource == f"{base}/token":
            return b"application/json", msgspec.json.encode(tokens.issue(now))
        if resource == f"{base}/email":
            return text, account.encode()
        if resource == f"{base}/scopes":
            return text, SCOPE.encode()
        if resource == base:
            properties = {"aliases": ["default"], "email": account, "scopes": [SCOPE]}
            return b"application/json", msgspec.json.encode(properties)
    return None
