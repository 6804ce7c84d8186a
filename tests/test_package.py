"""The package as it is built and installed: its command, its metadata, and what is in its files."""

import os
import re
import socket
import subprocess
import tarfile
import time
import tomllib
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

import tfp_vae
from tfp_vae.cli import commands
from training import command

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
MAX_MEGABYTES = {"wheel": 1, "sdist": 4}


def tfp_vae_command(argv, capsys):
    """The exit code of the installed command, what it prints, and what it says on stderr."""
    code = command.main(argv.split())
    return code, *capsys.readouterr()


def test_the_command_has_every_command(capsys):
    assert PROJECT["scripts"] == {"tfp-vae": "training.command:main"}
    code, printed, _ = tfp_vae_command("--help", capsys)
    assert code == 0
    for name in ("fit", "evaluate", *commands.app):
        if not name.startswith("-"):
            assert re.search(rf"^│ {name} ", printed, re.MULTILINE), name


def test_the_help_of_fit_names_the_folder_of_its_runs(capsys):
    code, printed, _ = tfp_vae_command("fit --help", capsys)
    assert code == 0 and "Usage: tfp-vae fit" in printed
    assert re.search(
        r"--output-dir .*OUTPUT_DIR/NAME/VERSION.*default:[\s│]*saved_models", printed, re.DOTALL
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("fit --epochs 0", "--epochs 0: input should be greater than or equal to 1\n"),
        ("sample nowhere s.png", "nowhere: no such folder: expected a run"),
        ("evaluate nowhere", "nowhere: no such folder: expected a run"),
        ("train", 'Unknown command "train"'),
    ],
)
def test_bad_input_is_one_line(argv, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, printed, error = tfp_vae_command(argv, capsys)
    assert (code, printed) == (2, "") and message in error and error.count("\n") == 1
    assert not os.listdir(tmp_path)


def test_one_version_everywhere(capsys):
    text = (ROOT / "CITATION.cff").read_text()
    citation = dict(re.findall(r"^([\w-]+): (.+)$", text, re.MULTILINE))
    assert citation["version"] == tfp_vae.__version__
    authors = re.findall("^  - name: (.+)$", text.partition("\nversion:")[0], re.MULTILINE)
    assert authors == [author["name"] for author in PROJECT["authors"]]
    said = citation["license"], citation["abstract"]
    assert said == (PROJECT["license"], PROJECT["description"])
    dated = f"\n## {tfp_vae.__version__}, {citation['date-released']}\n"
    assert dated in (ROOT / "CHANGELOG.md").read_text()
    assert tfp_vae_command("--version", capsys)[1] == f"{tfp_vae.__version__}\n"


def ran(*argv, **options):
    result = subprocess.run([str(word) for word in argv], capture_output=True, text=True, **options)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source distribution, built from a copy of the files in git."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git: which files are of the package is not known")
    place = tmp_path_factory.mktemp("built")
    source = place / "source"
    source.mkdir()
    files = ran("git", "ls-files", "-z", cwd=ROOT).split("\0")[:-1]
    for name in files:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    tools = place / "tools"
    venv.create(tools, with_pip=True)
    ran(tools / "bin" / "pip", "install", "-q", "build", "twine")
    ran(tools / "bin" / "python", "-m", "build", "--outdir", place / "dist", source)
    ran(tools / "bin" / "python", "-m", "twine", "check", "--strict", *(place / "dist").iterdir())
    (wheel,) = (place / "dist").glob("*.whl")
    (sdist,) = (place / "dist").glob("*.tar.gz")
    return wheel, sdist


@pytest.mark.slow
def test_what_is_in_the_files(built):
    wheel, sdist = built
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = [name for name in archive.namelist() if ".dist-info/" not in name]
    tracked = ran("git", "ls-files", "tfp_vae", "training", cwd=ROOT).splitlines()
    modules = [name for name in tracked if not name.startswith("training/results/")]
    assert sorted(in_wheel) == sorted(modules)
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    tests = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")]
    pages = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE"]
    assert {*modules, *tests, *pages, "tests/golden/run-0.1.0/1/model.keras"} <= in_sdist
    sizes = {"wheel": wheel.stat().st_size, "sdist": sdist.stat().st_size}
    print(", ".join(f"{kind}: {size / 1e6:.2f} MB" for kind, size in sizes.items()))
    for kind, size in sizes.items():
        assert size < 1e6 * MAX_MEGABYTES[kind], kind


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory, clean_environment):
    """Runs `tfp-vae`, of the wheel in an environment that has nothing else, in an empty folder."""
    place = tmp_path_factory.mktemp("installed")
    environment, empty = place / "environment", place / "empty"
    empty.mkdir()
    venv.create(environment, with_pip=True)
    extra = "[explore]" if "explore" in EXTRAS else ""
    ran(environment / "bin" / "pip", "install", "-q", f"{built[0]}{extra}")
    variables = {k: v for k, v in clean_environment.items() if not k.startswith("PYTHON")}

    def start(*argv, run=ran):
        return run(environment / "bin" / "tfp-vae", *argv, cwd=empty, env=variables)

    start("fit", "--epochs", 2)
    return start, empty


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment_and_folder(installed):
    start, empty = installed
    assert os.listdir(empty) == ["saved_models"]
    assert "vae" in start("info", "saved_models/digits")
    start("sample", "saved_models/digits", "samples.png", "--n", 4)
    assert (empty / "samples.png").stat().st_size > 100
    assert "ELBO" in start("evaluate", "saved_models/digits", "--num-samples", 2)


@pytest.mark.slow
@pytest.mark.skipif("explore" not in EXTRAS, reason="no extra explore")
def test_the_page_of_explore_answers(installed):
    start, _ = installed
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def process(*argv, **options):
        return subprocess.Popen([str(word) for word in argv], **options)

    server = start("explore", "saved_models/digits", "--port", port, run=process)
    try:
        until = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
                    assert page.status == 200 and b"<html" in page.read()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < until
                time.sleep(0.5)
    finally:
        server.terminate()
        server.wait()
