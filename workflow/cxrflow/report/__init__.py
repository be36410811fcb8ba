"""The page of the report: its inputs, its statements and its layout."""
