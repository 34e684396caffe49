"""Tokens for gateways whose upstream is in this process."""

from __future__ import annotations


class FixedTokens:
    """A ``TokenSource`` that asks nobody."""

    async def token(self) -> str:
        return "token"

    async def renew(self, rejected: str) -> str:
        return rejected

    async def aclose(self) -> None:
        pass
