"""Snakemake, which asks Slurm for the status of its jobs every second.

The Slurm plugin waits for 10 s more after each question, for up to 3 minutes, which takes most of the time of short jobs.
"""

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

RemoteExecutor.next_seconds_between_status_checks = property(lambda _: 1.0, lambda _, seconds: None)
main()
