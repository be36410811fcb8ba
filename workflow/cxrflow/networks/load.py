"""Load a trained network from a file that may be anyone's: no code in it is run."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from cxrflow.stage.faults import Fault, raise_all

# Layers that run what a file brings along: Python bytecode, a TensorFlow graph, a pickle of PyTorch, a JAX function.
CODE_HOLDING = ("Lambda", "__lambda__", "function", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
# Where layers, and what belongs to them, are. Other parts of Keras fetch files, load modules or change its own settings.
PARTS = ("keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints", "keras.models")
OWN_PARTS = ("keras.src.models.", "keras.src.ops.", "keras.src.layers.")
ALONE = ("DTypePolicy", "Sequential", "Functional", "Model")
# How Keras writes down values that are no objects of its own.
VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__")
LARGEST_CONFIG = 64_000_000


def load_network(path: Path) -> keras.Model:
    """Load a `.keras` file, uncompiled, after a look at what it is made of.

    Raises:
        Fault: it is no `.keras` file, holds code (a Lambda layer or the like), or objects that are not Keras' own.
    """
    _check_parts(path, _config_of(path))
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras does not say what it raises for a file that is damaged
        reason = " ".join(str(error).split())[:300]
        raise Fault(f"{path}: cannot be loaded as a network: {type(error).__name__}: {reason}") from error
    if not isinstance(model, keras.Model):
        raise Fault(f"{path}: holds a {type(model).__name__}, not a network")
    return model


def _config_of(path: Path) -> Any:
    """What the file says that its network is made of."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > LARGEST_CONFIG:
                raise Fault(f"{path}: its description of the network is larger than any network's")
            return json.loads(archive.read("config.json"))
    except OSError as error:
        raise Fault(f"{path}: cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError, NotImplementedError, EOFError) as error:
        raise Fault(
            f"{path}: not a network in Keras' own format (.keras), the only one that is read: {type(error).__name__}"
        ) from None


def _check_parts(path: Path, config: Any) -> None:
    names = dict.fromkeys(
        f"{module}.{name}".lstrip(".") for module, name in _classes(config) if not _is_plain(module, name)
    )
    raise_all(
        [f"{path}: holds {name}, which may run code of whoever made the file; it is not loaded" for name in names]
    )


def _is_plain(module: str, name: str) -> bool:
    if module in ("", "builtins"):
        return name in VALUES
    if module == "keras":
        return name in ALONE
    return (module in PARTS or module.startswith(OWN_PARTS)) and name not in CODE_HOLDING


def _classes(config: Any) -> Iterator[tuple[str, str]]:
    """Module (empty where none is told) and class of every object and function in a network's description."""
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
