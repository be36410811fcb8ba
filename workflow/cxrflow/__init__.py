"""cxrflow: a chest X-ray transfer-learning study as a workflow of stages.

The modules at this level are the stages, in the order of the flow (docs/stages.md); each is one rule of the workflow
and runs by itself, `python -m cxrflow.split_images --help`. The packages hold what stages share.
"""
