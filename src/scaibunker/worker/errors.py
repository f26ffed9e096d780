"""What can go wrong on a worker, free of any transport. `api.errors` makes HTTP answers of these."""

from scaibunker.wire.codes import Code


class WorkerFault(Exception):
    """A failure with a code that the controller can branch on. `message` is fit for an operator."""

    code: Code = Code.INTERNAL_ERROR

    def __init__(self, message: str, code: Code | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class MachineNotFound(WorkerFault):
    """This worker has no machine of that id."""

    code = Code.BUNKER_NOT_FOUND


class MachineNotRunning(WorkerFault):
    """The machine is not in a state in which its guest can be asked."""

    code = Code.BUNKER_NOT_RUNNING


class GuestUnreachable(WorkerFault):
    """The guest agent did not answer, or the channel broke in the middle."""

    code = Code.GUEST_UNREACHABLE


class ImageNotCached(WorkerFault):
    """The image is neither in the cache nor in any folder it may be linked from."""

    code = Code.IMAGE_NOT_READY


class ExecNotFound(WorkerFault):
    """No spooled command of that id."""

    code = Code.EXEC_NOT_FOUND


class SnapshotNotFound(WorkerFault):
    """This worker makes no snapshot of that id, nor has it lately."""

    code = Code.SNAPSHOT_NOT_FOUND


class BridgeNotFound(WorkerFault):
    """This worker has no bridge of that id, or none that may be used for this."""

    code = Code.BRIDGE_NOT_FOUND


class BridgeInUse(WorkerFault):
    """Machines are plugged into the bridge."""

    code = Code.BRIDGE_IN_USE


class StepFailed(WorkerFault):
    """A step of a machine's plan failed; the message names it."""
