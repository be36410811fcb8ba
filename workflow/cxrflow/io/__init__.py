"""Basics that all parts of the package use: command line of a stage, errors, files, tables, hashes, downloads, text."""
