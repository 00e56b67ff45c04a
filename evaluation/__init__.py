"""How we measure: ranking metrics, splits, experiments, off-policy estimates."""
