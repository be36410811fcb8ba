"""The report's page: what it reads, what it says, how it is laid out."""
