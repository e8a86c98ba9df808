"""Making prompts shorter. Imports numpy, never torch."""

from ramify.compressors.contract import (
    RATES,
    Compressed,
    CompressionError,
    Compressor,
    Count,
    Kept,
    Rate,
)
from ramify.compressors.extractive import Extractive
from ramify.compressors.registry import get_compressor, register, unregister
from ramify.compressors.words import Words

__all__ = [
    "RATES",
    "Compressed",
    "CompressionError",
    "Compressor",
    "Count",
    "Extractive",
    "Kept",
    "Rate",
    "Words",
    "get_compressor",
    "register",
    "unregister",
]
