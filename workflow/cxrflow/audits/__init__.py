"""Audits of a data set: what may make results look better than they are."""
