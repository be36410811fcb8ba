"""The device that Keras runs on, and how much of it."""


def set_threads(threads: int) -> None:
    """Give TensorFlow so many threads; must come before its first operation. Results depend on the number."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def share_gpu() -> None:
    """Take a GPU's memory as it is needed, not all of it at once; must come before TensorFlow's first operation."""
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def device_name() -> str:
    """The device that Keras trains on: "cpu", or the name of the first GPU that TensorFlow sees."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "cpu"
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name))
