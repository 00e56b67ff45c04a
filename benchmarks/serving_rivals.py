"""What `benchmarks/serving.py` starts: Attune with an empty handler beside it, and what people build first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import uvicorn
from fastapi import FastAPI
from fastapi.responses import Response
from implicit.cpu.als import AlternatingLeastSquares
from pydantic import BaseModel
from scipy import sparse

N = 20
Port = Annotated[int, typer.Option(help="Where to serve.")]

app = typer.Typer(add_completion=False)


class Wanted(BaseModel):
    """Who asks."""

    user_id: str


@app.command()
def attune(port: Port) -> None:
    """Serve Attune, as the environment says, and an empty handler in the same application."""
    from serving.__main__ import app as commands
    from serving.application import app as service

    async def empty(wanted: Wanted) -> Response:
        return Response(b"{}", media_type="application/json")

    service.post("/v1/empty")(empty)
    commands(["start", "--port", str(port)])


@app.command()
def implicit(folder: Annotated[Path, typer.Argument(help="Of what `saved` wrote.")], port: Port) -> None:
    """Serve `recommend(recalculate_user=True)` of a factorization with FastAPI, in one process."""
    weights = sparse.load_npz(folder / "weights.npz")
    model = AlternatingLeastSquares(factors=64, num_threads=1)
    model.item_factors = np.load(folder / "item_factors.npy")
    model.user_factors = np.zeros((1, 64), np.float32)
    ids = [f"item-{item:07}" for item in range(weights.shape[1])]
    service = FastAPI()

    @service.post("/recommend")
    async def recommend(wanted: Wanted) -> dict[str, list[dict[str, str | float]]]:
        user = int(wanted.user_id.removeprefix("user-"))
        items, scores = model.recommend(user, weights[user], N=N, recalculate_user=True)
        return {
            "items": [{"item_id": ids[item], "score": float(score)} for item, score in zip(items, scores, strict=True)]
        }

    uvicorn.run(service, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def saved(weights: sparse.csr_matrix, folder: Path) -> None:
    """Factorize ``weights``, of users by items, and write what ``implicit`` serves to ``folder``.

    One iteration: how good the factors are changes nothing about how long an answer takes.
    """
    folder.mkdir(parents=True)
    model = AlternatingLeastSquares(factors=64, iterations=1, num_threads=1, random_state=0)
    model.fit(weights, show_progress=False)
    np.save(folder / "item_factors.npy", model.item_factors)
    sparse.save_npz(folder / "weights.npz", weights, compressed=False)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    app()
