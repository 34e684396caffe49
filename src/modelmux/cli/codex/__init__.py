"""``modelmux codex-catalog``: what Codex has to know of the models."""
