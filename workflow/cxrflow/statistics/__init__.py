"""Metrics, calibration, intervals, tests and predictive sets, as plain functions of arrays."""
