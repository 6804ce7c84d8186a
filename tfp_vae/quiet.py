"""TensorFlow without its start-up chatter.

The notes that TensorFlow 2.21 writes while it is imported (oneDNN, CUDA, "before
absl::InitializeLog()") come before its log level is read, so no setting silences them.
"""

import os
import sys
import tempfile
from contextlib import contextmanager


@contextmanager
def held_stderr():
    """Holds what is written to file descriptor 2, and shows it only if an exception passes."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def import_tensorflow():
    """Imports TensorFlow and finds its devices; a log level that the user set is kept."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules:
        with held_stderr():
            import tensorflow as tf

            tf.config.list_physical_devices()
