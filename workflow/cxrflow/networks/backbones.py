"""Backbones of keras.applications."""

import sys
from types import ModuleType
from typing import Any

import keras

from cxrflow.stage.faults import Fault


def backbone_module(backbone: str) -> ModuleType:
    """The module of keras.applications that a backbone lives in; it has the backbone's `preprocess_input`."""
    return sys.modules[getattr(keras.applications, backbone).__module__]


def make_backbone(backbone: str, image_size: int) -> Any:
    """A backbone without top and with random weights, for images of shape (image_size, image_size, 3).

    Raises:
        Fault: the backbone does not take images of that size.
    """
    try:
        return getattr(keras.applications, backbone)(
            include_top=False, weights=None, input_shape=(image_size, image_size, 3)
        )
    except ValueError as error:
        raise Fault(f"backbone {backbone} at image_size {image_size}: {' '.join(str(error).split())}") from None


def with_stored_statistics(backbone: Any) -> Any:
    """The same backbone with batch normalisation that uses its stored statistics in training too.

    A functional model hands `training` on to all its layers, whatever they were called with (seen with Keras 3.15), so
    that `backbone(x, training=False)` is without effect once the whole is trained. Therefore the layers themselves are
    others. Their scale and shift stay trainable, their moving averages stay as they are.
    """

    def clone(layer: Any) -> Any:
        if isinstance(layer, keras.layers.BatchNormalization):
            return _StoredStatistics.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    cloned = keras.models.clone_model(backbone, clone_function=clone)
    cloned.set_weights(backbone.get_weights())
    return cloned


class _StoredStatistics(keras.layers.BatchNormalization):
    """Used while training alone: saved models hold plain layers."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return super().call(inputs, training=False, mask=mask)
