"""What an A/B test showed: was it fair, what did it change, how sure is that, and when is it enough."""
