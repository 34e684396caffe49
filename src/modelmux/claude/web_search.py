"""Web search as Vertex AI's server tool."""

from __future__ import annotations

from modelmux.claude.draft import Draft
from modelmux.errors import InvalidRequest


def apply(draft: Draft) -> None:
    """Add the server tool to the client's tools.

    :raises InvalidRequest: the model does not have it, or a tool of the client has its name.
    """
    search, body = draft.request.web_search, draft.body
    if search is None:
        return
    field = draft.request.fields.web_search
    if not draft.card.web_search:
        raise InvalidRequest(
            "This model does not support web search.", param=field, hint="Leave it out or choose another model."
        )
    if any(tool.name == search.name for tool in body.tools or ()):
        raise InvalidRequest(
            f"One of the tools is named '{search.name}', like the web search of Vertex AI.",
            param=field,
            hint=f"Rename the tool, or leave out '{field}'.",
        )
    if body.tool_choice is not None and body.tool_choice.type == "none":
        body.tools, body.tool_choice = None, None  # "none" would forbid the search too
    body.tools = [*(body.tools or ()), search]
