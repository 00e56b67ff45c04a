"""From requests to queries, and from rankings and histories to answers; one module for each router."""
