"""What all plots share: colours, fonts, and how a figure becomes a file."""
