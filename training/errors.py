"""How a run can end before it is complete. Imports no TensorFlow."""

from tfp_vae.errors import CommandError


class TrainingError(CommandError):
    """Training failed; the message is one line that says what and where."""


class Interrupted(CommandError):  # noqa: N818  (the user asked for it: not an error)
    """The signal `number` ended the run; the exit code is 128 + `number`, as in a shell."""

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.number = int(number)
        self.status = 128 + self.number
