"""Augmentation as in Keras' ImageDataGenerator: random parameters, the manifest that stores them, and their application."""
