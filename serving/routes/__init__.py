"""What the service answers at which address: one router for each kind of thing."""
