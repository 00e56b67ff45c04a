"""Reports as JSON."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(record: dict[str, Any]) -> str:
    """Return ``record`` as JSON for a file; what is not finite is null."""
    return json.dumps(_finite(record), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
