"""What every stage does the same way: its command line, its faults, its files, the hash of its code."""
