"""Results that were made with other versions of packages than those that are there now."""
