"""`python -m benchmarks.floor PORT`: a bare FastAPI route under the same server setup as the API's."""

import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/floor")
async def floor() -> dict[str, str]:
    """As little as a route can do."""
    return {"status": "ok"}


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
