"""Folders of published results: what they hold, how they are put in place, and how what they hold is judged again."""
