"""What another policy would have earned, told from a log of decisions and their probabilities."""
