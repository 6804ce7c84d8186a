"""The blocks of commands and of Python in the Markdown files, and how a test runs them.

Every ```sh and ```python block is run, in the order of its page, unless the line before it is an
HTML comment `<!-- MARKS: reason -->`. The marks, several in any order:

    not run          never, for the reason that is given
    slow             in the tests marked slow; commands then run in a shell, as they are written
    mnist            where TFDS has prepared MNIST
    alone            Python in a process of its own
    needs PACKAGE    where that optional package is installed
"""

import contextlib
import io
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from helpers.commands import in_process

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "saved_models/README.md"]
PAGES += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARKS = re.compile(r"(not run|slow|mnist|alone|needs \w+)(?: |$)")
OTHER = ("text", "json")  # languages of blocks that nobody runs
PYTHON = ".venv/bin/python"


class Block(NamedTuple):
    """A block of a page, with the line that it starts at."""

    page: str
    line: int
    language: str
    text: str
    marks: tuple[str, ...]

    @property
    def runs(self):
        return self.language in ("sh", "python") and "not run" not in self.marks

    @property
    def needs(self):
        """The optional packages that it uses."""
        return [mark.removeprefix("needs ") for mark in self.marks if mark.startswith("needs ")]

    @property
    def commands(self):
        """The words of each command: a line, and those that a backslash joins to it."""
        lines = self.text.replace("\\\n", " ").splitlines() if self.language == "sh" else []
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(page):
    """The blocks of a page.

    Raises:
      ValueError: a mark that is none, a comment without a reason, or a block in another language.
    """
    text = (ROOT / page).read_text()
    found = []
    for match in BLOCK.finditer(text):
        comment, language, body = match.groups()
        where = f"{page}:{text.count(chr(10), 0, match.start(2)) + 1}"
        marks, reason = (), ""
        if comment is not None:
            words, _, reason = comment.partition(": ")
            marks = tuple(MARKS.findall(words))
            if " ".join(marks) != words or not reason.strip():
                raise ValueError(f"{where}: {comment!r}: expected marks, a colon and a reason")
        if language not in ("sh", "python", *OTHER):
            raise ValueError(f"{where}: a block of {language!r}: expected sh, python or text")
        found.append(Block(page, int(where.split(":")[1]), language, body, marks))
    return found


def modules(words):
    """The modules that a command runs with Python, and the arguments of each."""
    for index in range(len(words) - 2):
        if words[index : index + 2] == [PYTHON, "-m"]:
            module, *argv = words[index + 2 :]
            yield module, argv[: argv.index("&&")] if "&&" in argv else argv


def furnish(place):
    """Fills a folder with what the pages assume: `.venv`, a short run on digits, and images."""
    programs = place / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "saved_model_cli"):
        path = Path(sys.executable).parent / name if name != "python" else sys.executable
        (programs / name).write_text(f'#!/bin/sh\nexec "{path}" "$@"\n')
        (programs / name).chmod(0o755)
    digits = np.rint(load_digits().images[:100] * 255 / 16).astype(np.uint8)
    for index, digit in enumerate(digits):
        folder = place / "photos" / ("even" if index % 2 else "odd")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digit).resize((70, 64)).save(folder / f"{index}.png")
    Image.fromarray(digits[0]).resize((28, 28)).save(place / "noisy.png")
    with contextlib.chdir(place):
        assert in_process("--epochs", 1, "--jit-compile", "false") == 0


def shell(text, place, environment):
    """Runs commands in bash, in a folder; they must succeed, in silence on stderr."""
    script = f"set -e -o pipefail\n{text}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=place, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
    return done


def run(block, namespace, place, environment):
    """Runs a block in the current folder, `place`; Python in `namespace`."""
    if block.language == "python" and "alone" in block.marks:
        subprocess.run([sys.executable, "-c", block.text], check=True, env=environment)
    elif block.language == "python":
        code = compile("\n" * block.line + block.text, block.page, "exec")
        with warnings.catch_warnings():
            if block.needs:  # the warnings of packages that are not ours
                warnings.simplefilter("ignore")
            exec(code, namespace)
    elif "slow" in block.marks:
        shell(block.text, place, environment)
    else:
        for words in block.commands:
            _command(words, place, environment)


def _command(words, place, environment):
    """A command: in this process where it is one of ours, as TensorFlow is loaded here."""
    from tfp_vae.__main__ import main
    from tfp_vae.cli.app import run as run_command
    from training.evaluate import evaluate

    ours = {
        "tfp_vae": main,
        "training.evaluate": lambda argv: run_command(evaluate, "training.evaluate", argv),
    }
    if words[:2] == [PYTHON, "-m"] and words[2] in ours:
        printed = io.StringIO()
        with contextlib.redirect_stderr(printed):
            status = ours[words[2]](words[3:])
        assert (status, printed.getvalue()) == (0, ""), shlex.join(words)
    else:
        shell(shlex.join(words), place, environment)
