"""cxrflow reproduces chest X-ray transfer-learning studies; docs/explanation/flow.md describes the stages and their order."""
