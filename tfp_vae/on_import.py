"""Import hooks: hold TensorFlow's start-up notes back, and register this package's Keras classes.

`import tfp_vae` alone imports neither, so that `--help` answers at once. But then:

* TensorFlow 2.21 writes notes to stderr while it is imported (oneDNN, CUDA, "before
  absl::InitializeLog()"), before its log level is read, so that no setting silences them;
* `tf_keras.models.load_model` looks the classes of this package up in tf_keras's registry, and a
  class is registered only when the module that defines it is imported.

So a finder wraps the import of TensorFlow, to hold its notes back, and imports those modules as
soon as tf_keras is imported.
"""

import importlib
import importlib.abc
import importlib.machinery
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

_LIBRARIES = ("tensorflow", "tf_keras", "tensorflow_probability")


class _Finder(importlib.abc.MetaPathFinder):
    """Wraps the import of the three packages; Python's own finder finds them."""

    def __init__(self) -> None:
        self._importing: set[str] = set()
        self._registered = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _LIBRARIES and not name.startswith("tfp_vae."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            self._importing.add(name)
            try:
                if name == "tensorflow":
                    _quietly(execute, module)
                else:
                    execute(module)
            finally:
                self._importing.discard(name)
            # TensorFlow Probability imports tf_keras while it is itself half imported: wait for it.
            if "tf_keras" in sys.modules and not self._importing and not self._registered:
                self._registered = True
                register_classes()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _quietly(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Executes the module `tensorflow` and finds its devices, without its notes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # a level that the user set is kept
    # oneDNN's convolutions, which TensorFlow uses by default only on CPUs with instructions such as
    # AVX512-VNNI. On one with AVX2 a step of `resnet` on 64x64 images takes half the time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with held_stderr():
        execute(module)
        module.config.list_physical_devices()


@contextmanager
def held_stderr() -> Iterator[None]:
    """Holds what is written to file descriptor 2, and shows it only if an exception passes."""
    if sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def register_classes() -> None:
    """Imports every module that registers a class with Keras: the model's, and each part's."""
    importlib.import_module("tfp_vae.models.build")
    for registry in importlib.import_module("tfp_vae.models").PARTS.values():
        for part in registry.values():
            part.load()


def install() -> None:
    """Starts to watch imports; where tf_keras is imported already, registers the classes now."""
    sys.meta_path.insert(0, _Finder())
    if "tf_keras" in sys.modules:
        register_classes()
