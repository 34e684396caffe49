"""The Anthropic Messages API: requests are exact, replies are tolerant."""

from modelmux.wire.anthropic.events import (
    KNOWN_BLOCKS as KNOWN_BLOCKS,
)
from modelmux.wire.anthropic.events import (
    KNOWN_DELTAS as KNOWN_DELTAS,
)
from modelmux.wire.anthropic.events import (
    KNOWN_EVENTS as KNOWN_EVENTS,
)
from modelmux.wire.anthropic.events import (
    KNOWN_STOP_REASONS as KNOWN_STOP_REASONS,
)
from modelmux.wire.anthropic.events import (
    Block as Block,
)
from modelmux.wire.anthropic.events import (
    Delta as Delta,
)
from modelmux.wire.anthropic.events import (
    ErrorBody as ErrorBody,
)
from modelmux.wire.anthropic.events import (
    ErrorReply as ErrorReply,
)
from modelmux.wire.anthropic.events import (
    Message as Message,
)
from modelmux.wire.anthropic.events import (
    OutputTokensDetails as OutputTokensDetails,
)
from modelmux.wire.anthropic.events import (
    StopDetails as StopDetails,
)
from modelmux.wire.anthropic.events import (
    StreamEvent as StreamEvent,
)
from modelmux.wire.anthropic.events import (
    Usage as Usage,
)
from modelmux.wire.anthropic.events import (
    decode_event as decode_event,
)
from modelmux.wire.anthropic.events import (
    decode_message as decode_message,
)
from modelmux.wire.anthropic.requests import (
    BETA_BINDING as BETA_BINDING,
)
from modelmux.wire.anthropic.requests import (
    EPHEMERAL as EPHEMERAL,
)
from modelmux.wire.anthropic.requests import (
    MAX_BODY_BYTES as MAX_BODY_BYTES,
)
from modelmux.wire.anthropic.requests import (
    VERTEX_VERSION as VERTEX_VERSION,
)
from modelmux.wire.anthropic.requests import (
    Base64Source as Base64Source,
)
from modelmux.wire.anthropic.requests import (
    BlockBinding as BlockBinding,
)
from modelmux.wire.anthropic.requests import (
    CacheControl as CacheControl,
)
from modelmux.wire.anthropic.requests import (
    ContentBlock as ContentBlock,
)
from modelmux.wire.anthropic.requests import (
    DocumentBlock as DocumentBlock,
)
from modelmux.wire.anthropic.requests import (
    ImageBlock as ImageBlock,
)
from modelmux.wire.anthropic.requests import (
    InputMessage as InputMessage,
)
from modelmux.wire.anthropic.requests import (
    MessagesRequest as MessagesRequest,
)
from modelmux.wire.anthropic.requests import (
    Metadata as Metadata,
)
from modelmux.wire.anthropic.requests import (
    OutputConfig as OutputConfig,
)
from modelmux.wire.anthropic.requests import (
    RedactedThinkingBlock as RedactedThinkingBlock,
)
from modelmux.wire.anthropic.requests import (
    TextBlock as TextBlock,
)
from modelmux.wire.anthropic.requests import (
    TextSource as TextSource,
)
from modelmux.wire.anthropic.requests import (
    Thinking as Thinking,
)
from modelmux.wire.anthropic.requests import (
    ThinkingBlock as ThinkingBlock,
)
from modelmux.wire.anthropic.requests import (
    Tool as Tool,
)
from modelmux.wire.anthropic.requests import (
    ToolChoice as ToolChoice,
)
from modelmux.wire.anthropic.requests import (
    ToolResultBlock as ToolResultBlock,
)
from modelmux.wire.anthropic.requests import (
    ToolUseBlock as ToolUseBlock,
)
from modelmux.wire.anthropic.requests import (
    URLSource as URLSource,
)
from modelmux.wire.anthropic.requests import (
    WebSearch as WebSearch,
)
from modelmux.wire.anthropic.requests import (
    encode_request as encode_request,
)
