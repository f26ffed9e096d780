"""What operators see of a controller: its log."""

import structlog
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.integration.stack import Stack


async def test_lines_of_a_request_say_whose_it_is(bare: Stack) -> None:
    me = await bare.data_of("GET", "/v1/me")
    with capture_logs(processors=[merge_contextvars]) as lines:
        signed = await bare.call("GET", "/bunkers")
        denied = await bare.call("GET", "/bunkers", "viewer")
        public = await bare.call("GET", "/health", None)
    of = {line["request_id"]: line for line in lines if line["event"] == "request"}
    line = of[signed.headers["x-request-id"]]
    assert (line["tenant_id"], line["user_id"]) == (me["tenant_id"], me["user_id"])
    assert of[denied.headers["x-request-id"]]["tenant_id"] == me["tenant_id"]
    assert "user_id" not in of[public.headers["x-request-id"]]
    assert structlog.contextvars.get_contextvars() == {}
