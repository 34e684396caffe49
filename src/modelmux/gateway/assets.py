"""What a request refers to by URL, downloaded and made into blocks: Vertex AI takes no URL sources."""

from __future__ import annotations

from modelmux.errors import InvalidRequest
from modelmux.gateway.exchange import Fetch
from modelmux.translate import content
from modelmux.translate.context import Assets
from modelmux.wire.anthropic import DocumentBlock, ImageBlock
from modelmux.wire.openai_chat import ChatRequest


async def fetch_assets(request: ChatRequest, fetch: Fetch) -> Assets:
    """Blocks by URL, for every http(s) URL of the request.

    :raises InvalidRequest: a URL that may not or cannot be fetched, or holds nothing Claude reads.
    """
    urls = content.remote_urls(request)
    if not urls:
        return {}
    fetched = await fetch(list(urls))
    assets: dict[str, ImageBlock | DocumentBlock] = {}
    for url, found in fetched.items():
        where = urls[url]
        kind = content.sniff(found.data)
        if kind is None and not found.media_type.startswith("text/"):
            raise InvalidRequest(
                "The URL holds neither an image that is PNG, JPEG, GIF or WebP, nor a PDF, nor text.", param=where
            )
        if kind is not None and kind.startswith("image/"):
            assets[url] = content.image(found.media_type, found.data, where)
        else:
            assets[url] = content.document(found.media_type, found.data, None, where)
    return assets
