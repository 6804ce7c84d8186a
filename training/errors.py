"""How a run can end before it is complete. Imports no TensorFlow."""

from tfp_vae.errors import CommandError
from tfp_vae.errors import Interrupted as Interrupted


class TrainingError(CommandError):
    """Training failed; the message is one line that says what and where."""
