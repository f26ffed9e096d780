"""Records of the API as the SDK hands them out.

They are the wire's own records. The few that are subclassed here hide what must not end up in a log
when somebody prints the object, or give bytes where the wire has encoded text.
"""

import base64

from pydantic import BaseModel, Field

from scaibunker.wire.api import bunkers, execs, identity


class BunkerRecord(bunkers.Bunker):
    """A bunker's record. Environment values are left out of the representation."""

    env_vars: dict[str, str] = Field(repr=False)


class ExecResult(execs.ExecResult):
    """How a command ended, with the head of its output."""

    @property
    def stdout_bytes(self) -> bytes:
        """Standard output, exactly."""
        return self._bytes(self.stdout)

    @property
    def stderr_bytes(self) -> bytes:
        """Standard error, exactly."""
        return self._bytes(self.stderr)

    @property
    def ok(self) -> bool:
        """Whether the command exited with 0."""
        return self.exit_code == 0

    def _bytes(self, text: str) -> bytes:
        if self.encoding == "base64":
            return base64.b64decode(text)
        return text.encode("utf-8", "surrogatepass")


class ApiKeyCreated(identity.ApiKeyCreated):
    """The one answer that has the secret; its representation does not."""

    key: str = Field(repr=False)


class ExecId(BaseModel):
    """What starting a detached command answers, as far as it matters."""

    exec_id: str
