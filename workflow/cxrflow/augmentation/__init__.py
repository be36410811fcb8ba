"""Augmentation by Keras' ImageDataGenerator semantics: what is drawn for an image, and what becomes of its pixels."""
