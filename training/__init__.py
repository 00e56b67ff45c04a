"""How we learn: fitting, tuning, tracking and promoting models."""
