"""Estimate the size of a network without building it, to check disk space and memory."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from cxrflow.study.layers import named_layers

BYTES = 4  # float32

# Parameters without top, and channels of the last layer, counted with Keras 3.15.
_BACKBONES = {
    name: (int(parameters), int(channels))
    for name, parameters, channels in (
        line.split()
        for line in """
        ConvNeXtBase 87566464 1024
        ConvNeXtLarge 196230336 1536
        ConvNeXtSmall 49454688 768
        ConvNeXtTiny 27820128 768
        ConvNeXtXLarge 348147968 2048
        DenseNet121 7037504 1024
        DenseNet169 12642880 1664
        DenseNet201 18321984 1920
        EfficientNetB0 4049589 1280
        EfficientNetB1 6575271 1280
        EfficientNetB2 7768601 1408
        EfficientNetB3 10783573 1536
        EfficientNetB4 17673873 1792
        EfficientNetB5 28513591 2048
        EfficientNetB6 40960219 2304
        EfficientNetB7 64097783 2560
        EfficientNetV2B0 5919342 1280
        EfficientNetV2B1 6931166 1280
        EfficientNetV2B2 8769418 1408
        EfficientNetV2B3 12930674 1536
        EfficientNetV2L 117746992 1280
        EfficientNetV2M 53150488 1280
        EfficientNetV2S 20331428 1280
        InceptionResNetV2 54336736 1536
        InceptionV3 21802784 2048
        MobileNet 3228864 1024
        MobileNetV2 2257984 1280
        MobileNetV3Large 2996352 960
        MobileNetV3Small 939120 576
        NASNetLarge 84916818 4032
        NASNetMobile 4269716 1056
        ResNet101 42658176 2048
        ResNet101V2 42626560 2048
        ResNet152 58370944 2048
        ResNet152V2 58331648 2048
        ResNet50 23587712 2048
        ResNet50V2 23564800 2048
        VGG16 14714688 512
        VGG19 20024384 512
        Xception 20861480 2048
        """.strip().splitlines()
    )
}

_NARROWER = ("InceptionV3", "InceptionResNetV2")  # convolutions without padding: 5x5 at 224 px, not 7x7


def network_parameters(settings: Mapping[str, Any], classes: int) -> int:
    """Count the parameters of an experiment's network, including the head, from its settings.

    Exact for InceptionV3, MobileNet and VGG at 224 pixels. Otherwise approximate: the size of the backbone's output is
    computed by a rule that other networks follow exactly only at common sizes.
    """
    size = settings["image_size"]
    parameters, channels = _BACKBONES[settings["backbone"]]
    side = max((size - 75) // 32 + 1 if settings["backbone"] in _NARROWER else ceil(size / 32), 1)
    units = channels
    for kind, _, layer in named_layers(settings["head"]):
        if kind == "conv":
            kernel, filters = layer["kernel"], layer["conv"]
            parameters += (kernel**2 * units + 1) * filters
            units = filters
            side -= kernel - 1 if layer["padding"] == "valid" else 0
        elif kind == "flatten":
            units *= max(side, 1) ** 2
        elif kind == "dense":
            parameters += (units + 1) * layer["dense"]
            units = layer["dense"]
    outputs = 1 if settings["loss"] == "binary_crossentropy" else classes
    return parameters + (units + 1) * outputs
