"""Optimizers: Keras' formulas, with TensorFlow's fused update for Adam."""

from collections.abc import Mapping
from typing import Any

import keras


def make_optimizer(settings: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    """Build the optimizer of an experiment, with Keras' defaults for everything that the settings do not contain.

    Args:
        settings: `optimizer` (adam, adamw, sgd or rmsprop), `learning_rate`, `momentum` (sgd, rmsprop), `weight_decay` (adamw)
            and `gradient_clip_norm` (norm of all gradients together; None for no limit).
    """
    common: dict[str, Any] = {
        "learning_rate": settings["learning_rate"],
        "global_clipnorm": settings["gradient_clip_norm"],
    }
    name = settings["optimizer"]
    if name == "sgd":
        return keras.optimizers.SGD(momentum=settings["momentum"], **common)
    if name == "rmsprop":
        return keras.optimizers.RMSprop(momentum=settings["momentum"], **common)
    if name == "adamw":
        return keras.optimizers.AdamW(weight_decay=settings["weight_decay"], **common)
    return FusedAdam(**common) if keras.backend.backend() == "tensorflow" else keras.optimizers.Adam(**common)


class FusedAdam(keras.optimizers.Adam):
    """Adam (Kingma and Ba, 2015) with TensorFlow's `ResourceApplyAdam`: one operation per variable instead of twelve.

    The formula is that of `keras.optimizers.Adam`; results differ only by rounding. Used only during training: saved
    models do not contain an optimizer.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        import tensorflow as tf

        # Keras passes TensorFlow's variable, not its own wrapper.
        step = tf.cast(self.iterations + 1, variable.dtype)
        first, second = (
            slots[self._get_variable_index(variable)].value for slots in (self._momentums, self._velocities)
        )
        beta_1, beta_2 = (tf.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )
