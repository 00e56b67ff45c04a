"""How we score: one file for each way to score items, and the bundle that carries them."""
