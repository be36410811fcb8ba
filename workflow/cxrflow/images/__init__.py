"""Image files: which there are, how they are decoded, and their decoded pixels."""
