"""Making prompts shorter. Imports numpy, never torch."""

from ramify.compressors.contract import (
    RATES,
    Compressed,
    CompressionError,
    Compressor,
    Count,
    ForModel,
    Kept,
    Rate,
)
from ramify.compressors.extractive import Extractive
from ramify.compressors.gist import Gist
from ramify.compressors.registry import get_compressor, register, unregister
from ramify.compressors.words import Words

__all__ = [
    "RATES",
    "Compressed",
    "CompressionError",
    "Compressor",
    "Count",
    "Extractive",
    "ForModel",
    "Gist",
    "Kept",
    "Rate",
    "Words",
    "get_compressor",
    "register",
    "unregister",
]
