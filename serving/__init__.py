"""How we answer: the pipeline from a query to a ranking, and the service around it."""
