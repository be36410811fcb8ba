"""The common style of all plots: colours, fonts and file format."""
