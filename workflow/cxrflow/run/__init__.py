"""Everything around a run of Snakemake: checks before it starts, locks, what it would do and why, and failed jobs."""
