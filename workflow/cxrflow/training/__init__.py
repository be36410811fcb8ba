"""Training: batches from the manifest, the loop over epochs, the optimizers, the progress that is told."""
