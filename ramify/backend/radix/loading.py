"""A model from a folder: safetensors only, nothing missing, nothing guessed."""

from __future__ import annotations

import json
import threading
from functools import partial
from pathlib import Path
from typing import Any

from ramify.backend.radix.families import check_class, model_class
from ramify.errors import ModelLoadError

_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


def find_folder(source: str | Path) -> Path:
    """The folder of a model: a local one, or a name on the Hugging Face hub.

    Raises ModelLoadError where there is neither.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(str(source), allow_patterns=_FILES))
    except (OSError, ValueError, HFValidationError) as error:
        raise ModelLoadError(
            f"{str(source)!r} is no folder, and no model of this name could be had from the hub "
            f"({type(error).__name__}: {_first_line(error)}).",
            hint="Give the path of a folder with config.json and safetensors weights.",
        ) from error


# transformers replaces functions of its own while it loads: two loads that overlap leave the wrong
# ones in place, and no model of the process has its tied weights from then on.
_ONE_AT_A_TIME = threading.Lock()


def load_model(
    folder: Path,
    *,
    device: str,
    dtype: str,
    remote_code: bool,
    attention: str,
    preferred: str | None = None,
) -> tuple[Any, Any]:
    """The model in evaluation mode, and its config.

    dtype "auto" is the `preferred` one, if there is one and the checkpoint is not quantized; else
    the checkpoint's own. Raises ModelLoadError, with what is wrong with the folder.
    """
    import torch
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise ModelLoadError(f"{str(folder)!r} has no config.json: it is not a model folder.")
    try:
        config = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelLoadError(
            f"the config of {str(folder)!r} cannot be read: {_first_line(error)}",
            hint="If the family needs code from the folder, and you trust it: remote_code=True.",
        ) from error
    check_quantization(config)
    _check_weights(folder)
    found = model_class(config, remote_code=remote_code)
    if dtype == "auto" and preferred is not None and not quantization(config):
        dtype = preferred
    wanted = dtype if dtype == "auto" else getattr(torch, dtype)
    with _ONE_AT_A_TIME:
        model, info = _read(found, folder, config, wanted, remote_code=remote_code)
    _check_complete(folder, info)
    check_class(type(model), config.model_type)
    model.set_attn_implementation(attention)
    model.requires_grad_(False)
    return model.eval().to(device), config


def _read(
    found: Any, folder: Path, config: Any, dtype: Any, *, remote_code: bool
) -> tuple[Any, dict[str, Any]]:
    from safetensors import SafetensorError
    from transformers.utils import logging

    bars, loudness = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what it would report here, we raise
    try:
        model, info = found.from_pretrained(
            folder, config=config, dtype=dtype, use_safetensors=True, local_files_only=True,
            trust_remote_code=remote_code, output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
    except ImportError as error:
        raise ModelLoadError(
            f"the weights of {str(folder)!r} are quantized by {quantization(config)!r}, which "
            f"needs a package that is not installed: {_first_line(error)}",
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelLoadError(
            f"the weights of {str(folder)!r} cannot be read: {_first_line(error)}",
            hint="Is the download complete?",
        ) from error
    finally:
        logging.set_verbosity(loudness)
        if bars:
            logging.enable_progress_bar()
    return model, info


def _check_weights(folder: Path) -> None:
    """Every safetensors file that the folder needs is there and whole."""
    from safetensors import SafetensorError, safe_open

    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    else:
        names = ["model.safetensors"]
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        others = [p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth", ".gguf"}]
        also = f" (it has {', '.join(sorted(others))}, which are not read)" if others else ""
        raise ModelLoadError(
            f"{str(folder)!r} has no weights: {', '.join(absent)} missing{also}.",
            hint="Save the model with save_pretrained(): only safetensors are read.",
        )
    for name in names:
        try:
            with safe_open(folder / name, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelLoadError(
                f"{str(folder / name)!r} is not a whole safetensors file: {_first_line(error)}",
                hint="Download or save it again.",
            ) from error


def _check_complete(folder: Path, info: dict[str, Any]) -> None:
    """transformers fills what is missing with random numbers and only warns."""
    missing = sorted(info["missing_keys"])
    wrong = sorted(str(k[0] if isinstance(k, tuple) else k) for k in info["mismatched_keys"])
    for what, names in (("are missing", missing), ("have another shape", wrong)):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise ModelLoadError(
                f"{len(names)} tensors of {str(folder)!r} {what}: {', '.join(names[:5])}{more}.",
                hint="The weights do not belong to the config.",
            )
    if info.get("error_msgs"):
        raise ModelLoadError(f"{str(folder)!r} cannot be loaded: {info['error_msgs'][0]}")


def quantization(config: Any) -> str:
    """The method by which a checkpoint is quantized; empty where it is not."""
    found = getattr(config, "quantization_config", None)
    if not found:
        return ""
    read = found.get if isinstance(found, dict) else partial(getattr, found)
    return str(read("quant_method", None) or "an unnamed method")


def check_quantization(config: Any) -> None:
    """Raise ModelLoadError for a method that transformers does not know: it would read the
    numbers as if they were plain."""
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

    method = quantization(config)
    if method and method not in AUTO_QUANTIZER_MAPPING and method != "bitsandbytes":
        raise ModelLoadError(
            f"the weights are quantized by {method!r}, which transformers does not know.",
            hint="Use a checkpoint in float32 or bfloat16, with quantize='int8' if need be.",
        )


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
