"""What the doctor looks at: Python and packages, GPU, disk and memory, images and weights, and the time that it will take."""
