"""The progress bar of work that may be long. Imports no TensorFlow."""

from typing import Any

from tqdm.auto import tqdm

BAR_DELAY = 2.0  # seconds of work before a progress bar appears


def progress_bar(total: int, name: str) -> Any:
    """A progress bar on stderr, shown in a terminal or notebook if work exceeds `BAR_DELAY`."""
    return tqdm(total=total, desc=name, delay=BAR_DELAY, disable=None, leave=False)
