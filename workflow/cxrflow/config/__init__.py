"""The typed config: what config.yaml may say, how it is read, and how its faults are told."""
