"""The bare FastAPI server that single submissions are held against: `python -m bench.quick.bare PORT`."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, Request

app = FastAPI(openapi_url=None)


@app.post("/bare", status_code=201)
async def bare(request: Request) -> dict[str, int]:
    """Take a body whole, as the broker must, and do nothing with it."""
    return {"size": len(await request.body())}


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        print("listening", flush=True)


if __name__ == "__main__":
    config = uvicorn.Config(
        app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )
    _Server(config).run()
