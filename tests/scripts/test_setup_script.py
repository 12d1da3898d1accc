"""scripts/setup.sh against a stub of Python (nothing is installed), and setup.py against what the package imports."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CANDIDATES = ("python3", "python3.11", "python3.12", "python3.10")
# Where a distribution's import name is not its own name.
IMPORT_NAMES = {"opencv-python": "cv2", "pillow": "PIL", "pyyaml": "yaml"}
# torchvision is half of a matching pair and mmengine.Config is built on addict: declared, imported or not.
NEED_NOT_BE_IMPORTED = {"torchvision", "addict"}

# Stands for Python, and for the one that "-m venv" makes. It notes every installation in $STUB_LOG.
STUB = """#!/bin/sh
case "$*" in
    *version_info*) echo "{version}" ;;
    "-c import ensurepip, venv") exit {without_venv} ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && : >"$3/pyvenv.cfg" ;;
    "-m pip install "*)
        echo "$*" >>"$STUB_LOG"
        sleep "${{STUB_SECONDS:-0}}"
        case "$*" in
            *"${{STUB_FAILS:-nothing}}"*) echo "ERROR: no such thing" >&2; exit 1 ;;
            *" -e "*) : >"$(dirname "$0")/clit" && chmod +x "$(dirname "$0")/clit" ;;
        esac ;;
    *"import clit_plugin") [ -z "${{STUB_IMPORT_ERROR:-}}" ] || {{ echo "$STUB_IMPORT_ERROR" >&2; exit 1; }} ;;
esac
"""
NOT_RUNNING = "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n"


class Workplace:
    """A copy of setup.sh and setup.py, on a PATH whose Pythons are stubs."""

    def __init__(self, folder: Path):
        self.root = folder / "a repository"
        self.stubs = folder / "stubs"
        self.log = folder / "pip.log"
        self.stubs.mkdir()
        (self.root / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "setup.sh", self.root / "scripts")
        shutil.copy(ROOT / "setup.py", self.root)
        for name in CANDIDATES:
            self.write(name, NOT_RUNNING)

    @property
    def python(self) -> Path:
        return self.root / ".venv" / "bin" / "python"

    def write(self, name: str, text: str) -> Path:
        path = self.stubs / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def offer(self, name: str, version: str, without_venv: int = 0) -> Path:
        return self.write(name, STUB.format(version=version, without_venv=without_venv))

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        inherited = {key: value for key, value in os.environ.items() if key not in ("PYTHON", "CLIT_TORCH")}
        path = f"{self.stubs}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            ["bash", str(self.root / "scripts" / "setup.sh"), *arguments],
            env={**inherited, "PATH": path, "STUB_LOG": str(self.log), **environment},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=30)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def installed(self) -> list[str]:
        """The installations since the last call."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def workplace(tmp_path):
    return Workplace(tmp_path)


def assert_refused(workplace: Workplace, result: subprocess.CompletedProcess, *words: str) -> None:
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr
    assert not (workplace.root / ".venv").exists()


@pytest.mark.parametrize("version", ["2.7.18", "3.9.18", "3.13.0", "3.1.2"])
def test_an_unsuitable_python_is_refused_in_one_line_that_names_the_versions_wanted(workplace, version):
    workplace.offer("python3", version)
    assert_refused(workplace, workplace.run(), "3.10, 3.11 or 3.12", f"python3 {version}", "PYTHON=")


def test_a_machine_without_any_working_python_is_refused(workplace):
    assert_refused(workplace, workplace.run(), "3.10, 3.11 or 3.12", "none that runs")


def test_a_python_without_venv_is_refused_with_the_package_to_install(workplace):
    workplace.offer("python3", "3.11.7", without_venv=1)
    assert_refused(workplace, workplace.run(), "python3 is suitable but lacks venv", "python3-venv")


def test_the_python_that_the_user_names_is_not_replaced_by_another(workplace):
    workplace.offer("python3", "3.11.7")
    named = workplace.offer("mine", "3.13.1")
    assert_refused(workplace, workplace.run(PYTHON=str(named)), "3.13.1", str(named))


def test_a_python_shim_that_does_not_run_is_skipped(workplace):
    workplace.offer("python3.12", "3.12.4")
    result = workplace.run()
    assert result.returncode == 0, result.stderr
    assert "Python 3.12.4" in result.stdout


def test_help_names_the_environment_variables_and_writes_nothing(workplace):
    result = workplace.run("--help")
    assert result.returncode == 0
    assert "PYTHON" in result.stdout
    assert "CLIT_TORCH" in result.stdout
    assert not (workplace.root / ".venv").exists()


def test_an_unknown_argument_is_refused(workplace):
    assert_refused(workplace, workplace.run("--upgrade"), "--upgrade", "--help")


def test_torch_is_installed_before_basicsr_and_neither_build_is_isolated(workplace):
    workplace.offer("python3", "3.11.7")
    assert workplace.run().returncode == 0
    torch, tools, basicsr, package = workplace.installed()
    assert torch == "-m pip install torch torchvision"
    assert "cython" in tools
    assert basicsr == "-m pip install --no-build-isolation basicsr==1.4.2"
    assert package == "-m pip install --no-build-isolation -e .[dev]"


def test_clit_torch_replaces_the_pair_and_is_not_expanded_as_a_pattern(workplace):
    workplace.offer("python3", "3.11.7")
    (workplace.root / "torch==2.4.1").touch()
    assert workplace.run(CLIT_TORCH="torch==2.4.* torchvision==0.19.*").returncode == 0
    assert workplace.installed()[0] == "-m pip install torch==2.4.* torchvision==0.19.*"


def test_a_second_set_up_installs_nothing_and_takes_less_than_a_second(workplace):
    workplace.offer("python3", "3.11.7")
    workplace.run()
    workplace.installed()
    started = time.monotonic()
    result = workplace.run()
    assert time.monotonic() - started < 1
    assert result.stdout == ".venv is up to date (Python 3.11.7).\n"
    assert workplace.installed() == []


@pytest.mark.parametrize("changed", ["setup.py", "scripts/setup.sh"])
def test_changed_requirements_are_installed_without_rebuilding_the_venv(workplace, changed):
    workplace.offer("python3", "3.11.7")
    workplace.run()
    workplace.installed()
    with (workplace.root / changed).open("a") as file:
        file.write("# changed\n")
    result = workplace.run()
    assert len(workplace.installed()) == 4
    assert "Creating .venv" not in result.stdout


def test_a_failed_installation_shows_pips_error_and_the_next_set_up_continues(workplace):
    workplace.offer("python3", "3.11.7")
    result = workplace.run(STUB_FAILS="basicsr")
    assert result.returncode == 1
    assert "ERROR: no such thing" in result.stderr
    assert "setup.log" in result.stderr.splitlines()[-1]
    assert len(workplace.installed()) == 3
    result = workplace.run()
    assert result.returncode == 0
    assert "Creating .venv" not in result.stdout
    assert len(workplace.installed()) == 4


def test_another_clit_torch_installs_again(workplace):
    workplace.offer("python3", "3.11.7")
    workplace.run()
    workplace.installed()
    workplace.run(CLIT_TORCH="torch==2.4.1 torchvision==0.19.1")
    assert len(workplace.installed()) == 4


def test_reverting_a_change_whose_installation_failed_installs_again(workplace):
    workplace.offer("python3", "3.11.7")
    workplace.run()
    workplace.run(CLIT_TORCH="torch==0.0", STUB_FAILS="torch==0.0")
    workplace.installed()
    workplace.run()
    assert len(workplace.installed()) == 4


def test_a_venv_whose_interpreter_is_gone_is_rebuilt_with_a_line_saying_so(workplace):
    workplace.offer("python3", "3.11.7")
    workplace.run()
    workplace.python.unlink()
    result = workplace.run()
    assert result.returncode == 0
    assert "Rebuilding .venv: its interpreter does not run." in result.stdout
    assert workplace.python.exists()


def test_a_moved_repository_is_set_up_anew(workplace):
    workplace.offer("python3", "3.11.7")
    workplace.run()
    workplace.root = workplace.root.rename(workplace.root.with_name("moved"))
    result = workplace.run()
    assert result.returncode == 0
    assert "Rebuilding .venv: it was made in another folder" in result.stdout


def test_naming_another_python_rebuilds_with_it(workplace):
    workplace.offer("python3", "3.11.7")
    workplace.run()
    result = workplace.run(PYTHON=str(workplace.offer("mine", "3.12.4")))
    assert "Rebuilding .venv: it holds Python 3.11.7." in result.stdout
    assert "Creating .venv with Python 3.12.4" in result.stdout


def test_a_set_up_from_inside_the_broken_venv_uses_the_python_outside(workplace):
    outside = workplace.offer("python3", "3.11.7")
    workplace.run()
    workplace.python.rename(workplace.python.with_name("python3"))
    path = f"{workplace.python.parent}{os.pathsep}{outside.parent}{os.pathsep}{os.environ['PATH']}"
    assert workplace.run(PATH=path).returncode == 0
    assert workplace.python.exists()


def test_packages_left_incomplete_by_an_interrupted_pip_are_installed_again(workplace):
    workplace.offer("python3", "3.11.7")
    workplace.run(STUB_FAILS="torch")
    packages = workplace.root / ".venv" / "lib" / "python3.11" / "site-packages"
    for name in ("whole-1.dist-info", "half-1.dist-info", "~orch"):
        (packages / name).mkdir(parents=True)
    (packages / "whole-1.dist-info" / "INSTALLER").write_text("pip\n")
    workplace.run()
    assert [path.name for path in packages.iterdir()] == ["whole-1.dist-info"]


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("ImportError: libGL.so.1: cannot open shared object file", "apt install libgl1"),
        ("RuntimeError: operator torchvision::nms does not exist", "CLIT_TORCH"),
    ],
)
def test_a_package_that_does_not_import_fails_with_its_remedy(workplace, error, remedy):
    workplace.offer("python3", "3.11.7")
    result = workplace.run(STUB_IMPORT_ERROR=error)
    assert result.returncode == 1
    assert error in result.stderr
    assert remedy in result.stderr.splitlines()[-1]
    assert not (workplace.root / ".venv" / "setup.stamp").exists()


@pytest.mark.skipif(shutil.which("flock") is None, reason="without flock set-ups do not wait for each other")
def test_of_two_simultaneous_set_ups_one_waits_and_installs_nothing(workplace):
    workplace.offer("python3", "3.11.7")
    first = workplace.start(STUB_SECONDS="0.2")
    while first.poll() is None and not workplace.log.exists():
        time.sleep(0.01)
    second = workplace.run()
    assert first.communicate(timeout=30)[0].splitlines()[-1].startswith("Done.")
    assert second.stdout.splitlines()[0].startswith("Another set-up is running")
    assert second.stdout.splitlines()[-1] == ".venv is up to date (Python 3.11.7)."
    assert len(workplace.installed()) == 4


def declared(keyword: str):
    """The value that setup.py gives for a keyword, read without running it."""
    calls = [node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())) if isinstance(node, ast.Call)]
    setup = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "setup")
    return next(ast.literal_eval(entry.value) for entry in setup.keywords if entry.arg == keyword)


def declared_imports() -> set[str]:
    return imports_of(declared("install_requires"))


def imports_of(requirements: list[str]) -> set[str]:
    names = [re.match(r"[\w.-]+", requirement).group().lower() for requirement in requirements]
    return {IMPORT_NAMES.get(name, name) for name in names}


def package_imports() -> set[str]:
    """The top-level names that clit_plugin imports from elsewhere, inside functions too."""
    names = set()
    for path in (ROOT / "clit_plugin").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"clit_plugin"}


def test_the_package_imports_nothing_undeclared():
    extras = declared("extras_require")
    optional = imports_of(extras["gpu"] + extras["onnx"] + extras["spandrel"] + extras["web"] + extras["video"])
    assert package_imports() - declared_imports() - optional == set()


def test_the_development_requirements_cover_the_export_tests():
    extras = declared("extras_require")
    assert set(extras["onnx"] + extras["spandrel"] + extras["web"] + extras["video"]) <= set(extras["dev"])


def test_every_declared_requirement_is_imported():
    assert declared_imports() - NEED_NOT_BE_IMPORTED - package_imports() == set()


@pytest.mark.parametrize("name", sorted(declared_imports()))
def test_a_declared_requirement_is_installed(name):
    assert importlib.util.find_spec(name) is not None


def test_the_console_command_refers_to_an_existing_function():
    (command,) = declared("entry_points")["console_scripts"]
    assert command == "clit=clit_plugin.commands.cli:main"
    tree = ast.parse((ROOT / "clit_plugin" / "commands" / "cli.py").read_text())
    assert "main" in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_setup_py_and_setup_sh_require_the_same_python_versions():
    assert declared("python_requires") == ">=3.10,<3.13"
    assert "3.10.* | 3.11.* | 3.12.*)" in (ROOT / "scripts" / "setup.sh").read_text()
