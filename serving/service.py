"""The application as a service of BentoML: ``bentoml serve serving.service:Attune``, ``bentoml build``.

BentoML answers ``/livez``, ``/readyz`` and ``/metrics`` then.
"""

from __future__ import annotations

import logging
import os

import bentoml

from serving.application import app
from serving.settings import ServingSettings


@bentoml.service(
    name="attune",
    workers=ServingSettings.of_environment(os.environ).workers,
    tracing={"excluded_urls": ".*"},  # with it, every request costs three times as much
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(app)
class Attune:
    """What BentoML starts: it answers nothing itself, since ``app`` does."""

    def __init__(self) -> None:
        # BentoML shows only lines of its own loggers; the operator wants to see which bundle is served.
        ours, bentoml_s = logging.getLogger("attune"), logging.getLogger("bentoml")
        ours.handlers, ours.level, ours.propagate = bentoml_s.handlers, bentoml_s.level, bentoml_s.propagate

    async def __is_ready__(self) -> bool:
        ready: bool = app.state.assembly.champion.ready
        return ready
