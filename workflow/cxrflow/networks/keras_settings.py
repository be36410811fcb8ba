"""Keras' own settings, which it reads from a file in the user's home."""

import keras


def set_up_keras() -> None:
    """Give Keras the settings that it has where there is no keras.json; must come before the first layer.

    The file (in `~/.keras`, or where KERAS_HOME says) would change networks and numbers, and nothing of a run would tell.
    """
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
