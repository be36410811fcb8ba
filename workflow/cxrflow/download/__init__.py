"""Files from the internet: each checked against what is known of it, whole under its name or not there."""
