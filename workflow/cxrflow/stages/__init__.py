"""One module for each rule of the workflow: `python -m cxrflow.stages.split_images`."""
