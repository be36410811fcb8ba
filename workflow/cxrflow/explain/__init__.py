"""What a run would do and why, in plain words: from what Snakemake plans and what it wrote down at the last run."""
