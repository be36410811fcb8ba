"""Load a trained network from an untrusted file, without running any code in it."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from cxrflow.io.errors import UserError, raise_all

# Layers that run code stored in the file: Python bytecode, a TensorFlow graph, a PyTorch pickle, a JAX function.
CODE_HOLDING = ("Lambda", "__lambda__", "function", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
# Modules of layers and their parts. Other modules of Keras can fetch files, import modules or change settings.
PARTS = ("keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints", "keras.models")
OWN_PARTS = ("keras.src.models.", "keras.src.ops.", "keras.src.layers.")
# Layers that keras.applications defines in the module of a backbone: module and class.
BACKBONE_LAYERS = (
    ("keras.src.applications.convnext", "LayerScale"),
    ("keras.src.applications.inception_resnet_v2", "CustomScaleLayer"),
)
TOP_LEVEL = ("DTypePolicy", "Sequential", "Functional", "Model")
# Classes that Keras uses to serialise plain values.
VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__")
LARGEST_CONFIG = 64_000_000


def load_network(path: Path) -> keras.Model:
    """Load a `.keras` file, uncompiled, after checking its parts.

    Raises:
        UserError: it is not a `.keras` file, or it contains code (such as a Lambda layer) or objects that are not part of
            Keras.
    """
    _check_parts(path, _config_of(path))
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras does not document what it raises for damaged files
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{path}: cannot be loaded as a network: {type(error).__name__}: {reason}") from error
    if not isinstance(model, keras.Model):
        raise UserError(f"{path}: holds a {type(model).__name__}, not a network")
    return model


def _config_of(path: Path) -> Any:
    """Read the configuration of the network in a file."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > LARGEST_CONFIG:
                raise UserError(f"{path}: the description of its network is too large")
            return json.loads(archive.read("config.json"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError, NotImplementedError, EOFError) as error:
        raise UserError(
            f"{path}: not a network in Keras' own format (.keras), the only supported one: {type(error).__name__}"
        ) from None


def _check_parts(path: Path, config: Any) -> None:
    names = dict.fromkeys(
        f"{module}.{name}".lstrip(".") for module, name in _classes(config) if not _is_plain(module, name)
    )
    raise_all([f"{path}: holds {name}, which can run code from the file; it is not loaded" for name in names])


def _is_plain(module: str, name: str) -> bool:
    if module in ("", "builtins"):
        return name in VALUES
    if module == "keras":
        return name in TOP_LEVEL
    if (module, name) in BACKBONE_LAYERS:
        return True
    return (module in PARTS or module.startswith(OWN_PARTS)) and name not in CODE_HOLDING


def _classes(config: Any) -> Iterator[tuple[str, str]]:
    """Yield module (empty if not given) and class of every object and function in a network's configuration."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "class_name" in part:
                yield str(part.get("module") or ""), str(part["class_name"])
            if part.get("registered_name") and part.get("module") is None and "class_name" in part:
                yield "", str(part["registered_name"])
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
