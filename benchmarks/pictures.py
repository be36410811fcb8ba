"""Pictures that several benchmarks use."""

import io

from cxrflow.phantoms.files import draw_form, encode
from cxrflow.phantoms.opacities import PATTERNS
from cxrflow.phantoms.radiograph import draw_film
from cxrflow.phantoms.texture import random_stream
from PIL import Image


def phantom(number: int, seed: int) -> Image.Image:
    """Draw a phantom and decode its file; the patterns follow each other."""
    film = draw_film(list(PATTERNS)[number % len(PATTERNS)], "pictures", seed, number)
    file = encode(film.grey, draw_form(random_stream("pictures", seed, number)))
    return Image.open(io.BytesIO(file)).convert("RGB")
