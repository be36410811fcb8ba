"""Published results: publish, join, verify and tabulate them."""
