"""temperature, top_p and top_k, as far as the model accepts them."""

from __future__ import annotations

from modelmux.claude.draft import Draft


def apply(draft: Draft) -> None:
    """Drop or clamp what the model does not accept."""
    body, notices = draft.body, draft.notices
    if draft.card.sampling == "reject":
        for name in ("temperature", "top_p", "top_k"):
            if getattr(body, name) is not None:
                notices.add("dropped", name, "This model does not accept sampling parameters.")
                setattr(body, name, None)
        return
    if body.temperature is not None:
        if body.temperature > 1.0:
            notices.add("clamped", "temperature", "Claude's temperature ranges from 0 to 1.")
            body.temperature = 1.0
        if body.top_p is not None:
            reason = "Claude accepts temperature or top_p, not both; temperature was kept."
            notices.add("dropped", "top_p", reason)
            body.top_p = None
