"""The site of docs/, as MkDocs builds it: complete, and without a request to elsewhere."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# An address that a browser fetches by itself; links that a reader follows are `<a href>`.
FETCHED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=\"?(\w+:)?//[^>]*>")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for package in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        if find_spec(package) is None:
            pytest.skip(f'no {package}: pip install -e ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    # Not with --quiet: MkDocs then counts no warnings.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pages(site):
    return {str(path.relative_to(site)): path.read_text() for path in site.rglob("*.html")}


def test_every_page_is_there(site):
    expected = {str(p.relative_to(ROOT / "docs"))[:-3] for p in (ROOT / "docs").rglob("*.md")}
    expected -= {"assets/README"}
    assert {name.removesuffix(".html") for name in pages(site)} == {*expected, "404"}


def test_no_page_asks_for_anything_from_elsewhere(site):
    for name, text in pages(site).items():
        assert FETCHED.search(text) is None, f"{name}: {FETCHED.search(text)[0]}"
    sheets = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.search(r"url\(\"?(\w+:)?//|@import", sheets) is None


def test_formulas_are_mathml_and_docstrings_are_found(site):
    found = pages(site)
    assert "arithmatex" not in "".join(found.values())
    assert found["mathematics.html"].count("<math ") > 50
    assert found["api/models.html"].count(">Raises:<") >= 3


def test_the_search_knows_the_pages(site):
    index = (site / "search" / "search_index.js").read_text()
    assert "free_bits" in index and "log_marginal_likelihood" in index
