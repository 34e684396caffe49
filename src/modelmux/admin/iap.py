"""The signed header of Google's Identity-Aware Proxy: whose e-mail address it proves.

What must hold is in https://cloud.google.com/iap/docs/signed-headers-howto. google-auth verifies signatures; the times
are compared here, by a clock that is passed in.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.auth import jwt

from modelmux.errors import Unauthorized

ISSUER: Final = "https://cloud.google.com/iap"
ALGORITHM: Final = "ES256"
#: Seconds by which clocks may differ.
SKEW: Final = 30
#: Seconds from when one is issued until it expires: ten minutes, and the difference of clocks on both sides.
LIFETIME: Final = 600 + 2 * SKEW
#: Seconds; what is more cannot be a time.
_LATEST: Final = 10**12
#: Characters; one has about a thousand.
_LONGEST: Final = 16_384
#: Bytes of a coordinate of P-256.
_COORDINATE: Final = 32
#: google-auth compares times with the clock of the system, unless it may be wrong by anything.
_ANY_SKEW: Final = 10**12
_decode: Final[Any] = jwt.decode  # not annotated by google-auth
_decode_header: Final[Any] = jwt.decode_header
_HINT: Final = (
    "Come through the Identity-Aware Proxy again. Its operator compares admin.iap_audience with the audience that the "
    "proxy shows, and the clock of this machine."
)


def key_id(assertion: str) -> str:
    """The id of the key that an assertion says it is signed with. :raises Unauthorized: it cannot be one."""
    if len(assertion) > _LONGEST:
        raise _refused("is too long")
    try:
        header = _decode_header(assertion)
    except (ValueError, TypeError, RecursionError):
        raise _refused("is not a signed token") from None
    if header.get("alg") != ALGORITHM:
        raise _refused(f"is not signed by {ALGORITHM}")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise _refused("does not name its key")
    return kid


def email_of(assertion: str, key: str, audience: str, now: float) -> str:
    """The address of the person whom an assertion is about.

    :param key: the public key of its ``key_id``, in PEM. :param now: Unix seconds.
    :raises Unauthorized: the signature is not by the key, or a claim is not as it must be.
    """
    kid = key_id(assertion)
    try:
        claims = _decode(assertion, certs={kid: key}, clock_skew_in_seconds=_ANY_SKEW)
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise _refused("is not signed by Google, or was changed") from None
    problem = _problem(claims, audience, now)
    if problem is not None:
        raise _refused(problem)
    return str(claims["email"])


def read_keys(text: bytes) -> dict[str, str]:
    """A set of JSON web keys -> the public keys on P-256 among them, in PEM, by their ids.

    :raises ValueError: it is not such a set, or has none.
    """
    document = json.loads(text)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a set of JSON web keys")  # noqa: TRY004 - what was read, and not the caller's mistake
    keys = {one["kid"]: _pem(one) for one in entries if isinstance(one, dict) and _is_usable(one)}
    if not keys:
        raise ValueError("no key is on P-256")
    return keys


def _problem(claims: Mapping[str, Any], audience: str, now: float) -> str | None:
    if claims.get("iss") != ISSUER:
        return "is not issued by the Identity-Aware Proxy"
    if claims.get("aud") != audience:
        return "is for another service"
    issued, expires = claims.get("iat"), claims.get("exp")
    if not (_is_time(issued) and _is_time(expires)):
        return "has no times"
    if issued > now + SKEW:  # type: ignore[operator]
        return "is not valid yet"
    if expires + SKEW <= now:  # type: ignore[operator]
        return "has expired"
    if expires - issued > LIFETIME:  # type: ignore[operator]
        return "is valid for longer than ten minutes"
    if "gcip" in claims:
        return "is of an external identity, whose address Google does not vouch for"
    return None if isinstance(claims.get("email"), str) else "has no e-mail address"


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LATEST < value < _LATEST


def _is_usable(key: Mapping[str, Any]) -> bool:
    fields = ("kid", "x", "y")
    return (
        all(isinstance(key.get(name), str) and key[name] for name in fields)
        and (key.get("kty"), key.get("crv")) == ("EC", "P-256")
        and key.get("alg", ALGORITHM) == ALGORITHM
        and key.get("use", "sig") == "sig"
    )


def _pem(key: Mapping[str, Any]) -> str:
    """:raises ValueError: it is not a point of the curve."""
    x, y = (_coordinate(key[name]) for name in ("x", "y"))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def _coordinate(text: str) -> int:
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(raw) != _COORDINATE:
        raise ValueError("a coordinate has another length")
    return int.from_bytes(raw, "big")


def unknown_key() -> Unauthorized:
    return _refused("is signed by a key that Google does not publish")


def _refused(what: str) -> Unauthorized:
    return Unauthorized(f"The assertion of the Identity-Aware Proxy {what}.", code="assertion_not_valid", hint=_HINT)
