"""What README, docs/ and the other pages say: their commands and their Python run as written."""

import re
import shutil
from importlib.util import find_spec

import cyclopts
import pytest
from helpers import documents
from helpers.documents import PAGES, ROOT

import tfp_vae
from tfp_vae.cli import commands
from tfp_vae.models import PARTS
from tfp_vae.saved_model.contract import INPUTS, OUTPUTS_2
from training.benchmark import benchmark
from training.evaluate import evaluate
from training.fit import fit

BLOCKS = {page: documents.blocks(page) for page in PAGES}
FAST = [page for page in PAGES if any(b.runs and "slow" not in b.marks for b in BLOCKS[page])]
SLOW = [page for page in PAGES if any(b.runs and "slow" in b.marks for b in BLOCKS[page])]
MODULES = {"training.fit": fit, "training.evaluate": evaluate, "training.benchmark": benchmark}


@pytest.fixture(scope="module")
def environment(clean_environment):
    """That of a user in a folder without a checkout: the package is installed."""
    return {**clean_environment, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    place = tmp_path_factory.mktemp("documents")
    documents.furnish(place)
    return place


def of_page(page):
    """A page as a parameter, with the marks of its blocks."""
    needs_mnist = any("mnist" in block.marks for block in BLOCKS[page] if block.runs)
    return pytest.param(page, marks=pytest.mark.mnist if needs_mnist else ())


def run(blocks, place, environment, monkeypatch):
    """Runs blocks in the order of their page, in `place`; its Python shares one namespace.

    Returns the number of blocks that were run.
    """
    monkeypatch.chdir(place)
    namespace = {"__name__": "__main__"}
    absent = {name for block in blocks for name in block.needs if find_spec(name) is None}
    for block in blocks:
        if not absent & set(block.needs):
            documents.run(block, namespace, place, environment)
    if absent:
        pytest.skip(f"run, but for the blocks that need {', '.join(sorted(absent))}")
    return len(blocks)


@pytest.mark.parametrize("page", FAST)
def test_what_a_page_says_runs(page, furnished, environment, monkeypatch):
    blocks = [block for block in BLOCKS[page] if block.runs and "slow" not in block.marks]
    assert run(blocks, furnished, environment, monkeypatch) > 0


@pytest.mark.slow
@pytest.mark.parametrize("page", [of_page(page) for page in SLOW])
def test_what_a_page_says_runs_at_length(
    page, furnished, environment, mnist_dir, tmp_path, monkeypatch
):
    place = shutil.copytree(furnished, tmp_path / "place")
    monkeypatch.setenv("TFDS_DATA_DIR", mnist_dir)
    environment = {**environment, "TFDS_DATA_DIR": mnist_dir}
    blocks = [block for block in BLOCKS[page] if block.runs]
    assert run(blocks, place, environment, monkeypatch) > 0


@pytest.mark.parametrize("page", PAGES)
def test_the_flags_of_commands_exist(page):
    """Also those of blocks that are marked slow or not run."""
    wrong = []
    for block in BLOCKS[page]:
        for words in block.commands:
            for module, argv in documents.modules(words):
                app = commands.app
                if module in MODULES:
                    app = cyclopts.App(version_flags=())
                    app.default(MODULES[module])
                elif module != "tfp_vae":
                    continue
                try:
                    app.parse_args(argv, exit_on_error=False, print_error=False)
                except cyclopts.CycloptsError as error:
                    wrong.append(f"{page}:{block.line}: {error}")
    assert wrong == []


def test_a_page_links_to_what_is_there():
    for page in PAGES:
        prose = documents.BLOCK.sub("", (ROOT / page).read_text())
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
            if "://" not in link:
                assert (ROOT / page).parent.joinpath(link).exists(), f"{page}: {link}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def test_every_part_and_option_is_documented():
    text = (ROOT / "docs" / "parts" / "index.md").read_text()
    for kind, registry in PARTS.items():
        names = [f"`{name}`" for name in registry]
        flags = [f"--{option.replace('_', '-')}" for option in registry.options]
        missing = [name for name in (f"`--{kind}`", *names, *flags) if name not in text]
        assert missing == []


def test_every_public_name_is_in_the_api():
    text = "".join(path.read_text() for path in (ROOT / "docs" / "api").glob("*.md"))
    names = [f"::: tfp_vae.{name}\n" for name in tfp_vae.__all__ if name != "callbacks"]
    assert [name for name in names if name not in text] == []


def test_the_page_of_the_contract_has_its_signatures():
    rows = (ROOT / "docs" / "saved-model.md").read_text().splitlines()
    found = {
        cells[0].strip("` "): cells[1:]
        for row in rows
        if row.startswith("| `") and len(cells := row.strip("| ").split(" | ")) == 3
    }
    assert set(found) == set(INPUTS)
    for name, (inputs, outputs) in found.items():
        assert tuple(re.findall(r"`(\w+)`", inputs)) == INPUTS[name]
        if name in OUTPUTS_2:
            assert set(re.findall(r"`(\w+)`", outputs)) >= set(OUTPUTS_2[name])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- not run -->\n```sh\nls\n```\n", "expected marks, a colon and a reason"),
        ("<!-- never: why -->\n```sh\nls\n```\n", "expected marks, a colon and a reason"),
        ("```bash\nls\n```\n", "a block of 'bash'"),
        ("```\nls\n```\n", "a block of ''"),
    ],
)
def test_a_block_that_no_test_would_run_is_refused(text, message, tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text(text)
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=re.escape(message)):
        documents.blocks("page.md")


def test_a_command_that_fails_fails(furnished, environment, monkeypatch, tmp_path):
    text = "```sh\n.venv/bin/python -m tfp_vae info saved_models/none\n```\n"
    (tmp_path / "page.md").write_text(text)
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    with pytest.raises(AssertionError, match="info saved_models/none"):
        run(documents.blocks("page.md"), furnished, environment, monkeypatch)
