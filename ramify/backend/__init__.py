"""Backends: the contract, rendering of prompts into tokens, and the engines behind it."""

from ramify.backend.chat import ChatFormat, Turn
from ramify.backend.collect import Collected, collect
from ramify.backend.contract import (
    Backend,
    BlockSpan,
    Capabilities,
    Delta,
    Finish,
    Profile,
    Request,
    ScoreRequest,
    Scores,
    TokenLogprobs,
    TokenPrompt,
    Usage,
    VectorSpan,
)
from ramify.backend.fake import FakeBackend
from ramify.backend.fork_lowering import generate_forking
from ramify.backend.forks import MAIN, Bans, Branch, ForkRule
from ramify.backend.open import open_backend, register_backend
from ramify.backend.render import Answered, Renderer, Values
from ramify.backend.rendering import Rendering
from ramify.backend.stream import Piece, TextStream
from ramify.backend.tokenizer import Tokenizer
from ramify.backend.views import messages_view, text_view

__all__ = [
    "MAIN",
    "Answered",
    "Backend",
    "Bans",
    "BlockSpan",
    "Branch",
    "Capabilities",
    "ChatFormat",
    "Collected",
    "Delta",
    "FakeBackend",
    "Finish",
    "ForkRule",
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
    "VectorSpan",
    "collect",
    "generate_forking",
    "messages_view",
    "open_backend",
    "register_backend",
    "text_view",
]
