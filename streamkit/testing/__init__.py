"""What tests stream from: a scripted provider and a proxy, both real servers on 127.0.0.1.

with ProviderServer() as server:
    server.reply(chat_answer("Hello", " world"))
    client = Client(OpenAI(api_key="test", base_url=server.base_url))

Importing it starts nothing and needs no test framework.
"""

from __future__ import annotations

from streamkit.testing.answers import (
    anthropic_answer,
    chat_answer,
    cohere_answer,
    error_answer,
    error_event,
    gemini_answer,
    ollama_answer,
    responses_answer,
)
from streamkit.testing.proxy import ProxyServer
from streamkit.testing.server import ProviderServer
from streamkit.testing.steps import (
    Close,
    Drip,
    End,
    Event,
    Notify,
    Pause,
    Raw,
    Repeat,
    Reset,
    Send,
    Slowly,
    Stall,
    Status,
    Wait,
)
from streamkit.testing.wire import Gate, ReceivedRequest, Script, Step, Wire

__all__ = [
    "Close",
    "Drip",
    "End",
    "Event",
    "Gate",
    "Notify",
    "Pause",
    "ProviderServer",
    "ProxyServer",
    "Raw",
    "ReceivedRequest",
    "Repeat",
    "Reset",
    "Script",
    "Send",
    "Slowly",
    "Stall",
    "Status",
    "Step",
    "Wait",
    "Wire",
    "anthropic_answer",
    "chat_answer",
    "cohere_answer",
    "error_answer",
    "error_event",
    "gemini_answer",
    "ollama_answer",
    "responses_answer",
]
