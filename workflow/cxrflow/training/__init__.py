"""Training: batches from the manifest, the loop over epochs, the machine it runs on, what identifies a run."""
