"""What is wrong with what the user gave. Imports no TensorFlow."""


class InputError(ValueError):
    """Bad input; the message is one line that names it and says what is accepted."""
