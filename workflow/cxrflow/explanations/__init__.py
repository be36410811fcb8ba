"""Look inside a trained network: where it looks, and what changes its decisions.

    grad_cam    heat maps of the evidence for a class
    sanity      whether heat maps depend on the weights
    deletion    whether heat maps point to the pixels that matter
    lungs       lung boxes, and the share of heat outside them
    summary     the means of all that, with their intervals
    choice      which images are explained
    occlusion   alterations that remove a part of an image
    corruption  alterations of graded strength: JPEG, noise, blur, brightness, shift, rotation
    robustness  accuracy on altered images

Images are uint8 arrays of shape (n, size, size, 3). Heat maps are float32 arrays with values 0 to 1.
"""
