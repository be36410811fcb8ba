"""Keras' own settings. Apart from `device`, so that a change there does not rebuild the descriptions of networks."""

import keras


def set_up_keras() -> None:
    """Reset Keras to its default settings; call it before the first layer is built.

    A user's keras.json (in `~/.keras` or KERAS_HOME) could otherwise change networks and numbers without a trace in the
    results.
    """
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
