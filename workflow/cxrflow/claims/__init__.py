"""The claims: statements about the runs, each judged by a registered measure from the runs' own files."""
