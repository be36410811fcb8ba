"""Training: batches from the augmentation manifest, training steps, checkpoints, locks and progress."""
