"""``modelmux usage``: what was used and what it cost, exports of it, and checks and corrections of the ledger."""
