"""Backends: the contract, rendering of prompts into tokens, and the engines behind it."""

from ramify.backend.chat import ChatFormat, Turn
from ramify.backend.contract import (
    Backend,
    BlockSpan,
    Capabilities,
    Collected,
    Delta,
    Finish,
    Profile,
    Request,
    ScoreRequest,
    Scores,
    TokenLogprobs,
    TokenPrompt,
    Usage,
    collect,
)
from ramify.backend.fake import FakeBackend
from ramify.backend.open import open_backend, register_backend
from ramify.backend.render import Answered, Renderer, Values
from ramify.backend.rendering import Rendering
from ramify.backend.stream import Piece, TextStream
from ramify.backend.tokenizer import Tokenizer
from ramify.backend.views import messages_view, text_view

__all__ = [
    "Answered",
    "Backend",
    "BlockSpan",
    "Capabilities",
    "ChatFormat",
    "Collected",
    "Delta",
    "FakeBackend",
    "Finish",
    "Piece",
    "Profile",
    "Renderer",
    "Rendering",
    "Request",
    "ScoreRequest",
    "Scores",
    "TextStream",
    "TokenLogprobs",
    "TokenPrompt",
    "Tokenizer",
    "Turn",
    "Usage",
    "Values",
    "collect",
    "messages_view",
    "open_backend",
    "register_backend",
    "text_view",
]
