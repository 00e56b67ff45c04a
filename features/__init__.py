"""What we know: events, the log, the catalog, and the snapshots made of them."""
