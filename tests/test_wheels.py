"""What wheels there will be: the workflow, cibuildwheel's settings and the README say the same (spec W1).

What belongs here: comparing files that say where greenswitch runs, and what .ci/wheels.py knows of wheels and
interpreters.  What never does: building (test_build.py), or what a built core looks like inside
(test_binary.py).
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WORKFLOW = (ROOT / "wheels.yml").read_text(encoding="utf-8")
MACHINES = {"x86-64": "x86_64", "aarch64": "aarch64"}  # the README's names, and those of wheels
LIBRARIES = {"glibc": "manylinux", "musl": "musllinux"}


def supported(row: str) -> list[str]:
    """What the table in the README says about `row`."""
    found = re.search(rf"^\| {row} \| (.*) \|$", README, flags=re.M)
    assert found is not None, f"the README's table has no row {row!r}"
    return re.findall(r"[\w.-]+", found[1])


def test_wheels_are_for_all_that_the_readme_says() -> None:
    pytest.importorskip(
        "cibuildwheel", reason="cibuildwheel, which says what it would build, is not installed"
    )
    machines = [MACHINES[machine] for machine in supported("machine")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CIBW_")}
    options = ["--print-build-identifiers", "--platform", "linux", "--archs", " ".join(machines)]
    done = subprocess.run(
        [sys.executable, "-m", "cibuildwheel", *options, str(ROOT)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    expected = {
        f"cp{version.replace('.', '')}-{LIBRARIES[library]}_{machine}"
        for version in supported("CPython")
        for library in supported("C library")
        for machine in machines
    }
    assert set(done.stdout.split()) == expected


def test_settings_name_the_same_versions() -> None:
    """Without cibuildwheel: what it is told."""
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[tool.cibuildwheel]")[2]
    build = re.search(r'^build = "(.*)"$', settings, flags=re.M)
    assert build is not None
    assert build[1].split() == [f"cp{version.replace('.', '')}-*" for version in supported("CPython")]


def test_workflow_has_a_runner_for_each_machine() -> None:
    assert re.findall(r"machine: (\w+)", WORKFLOW) == [MACHINES[machine] for machine in supported("machine")]


def test_workflow_is_where_it_is_looked_for() -> None:
    """Both are the same, so that it does not matter which one somebody reads."""
    assert (ROOT / ".github" / "workflows" / "wheels.yml").read_text(encoding="utf-8") == WORKFLOW


def test_only_tags_are_published_and_without_a_password() -> None:
    """The one job that may publish: after all the others, on a tag, and trusted in place of a secret."""
    jobs = re.split(r"^  (\w+):\n", WORKFLOW.partition("\njobs:\n")[2], flags=re.M)
    bodies = dict(zip(jobs[1::2], jobs[2::2], strict=True))
    publish = bodies.pop("publish")
    assert "if: github.event_name == 'push' && startsWith(github.ref, 'refs/tags/v')\n" in publish
    assert f"needs: [{', '.join(bodies)}]\n" in publish
    assert "name: pypi\n" in publish and "id-token: write\n" in publish
    assert "pypa/gh-action-pypi-publish@" in publish
    assert not [name for name, body in bodies.items() if "id-token" in body or "gh-action-pypi" in body]
    assert "secrets." not in WORKFLOW and "password" not in WORKFLOW.partition("\nname:")[2]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """.ci/wheels.py, in a directory of its own, where it may make what it likes."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / ".ci"))
    monkeypatch.delitem(sys.modules, "matrix", raising=False)
    spec = importlib.util.spec_from_file_location("wheels", tmp_path / ".ci" / "wheels.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "wheels", module)
    spec.loader.exec_module(module)
    module.WORK.mkdir(parents=True)
    return module


def test_interpreter_is_known_for_what_it_is(tool: ModuleType) -> None:
    found = tool.probe([sys.executable])
    assert (found.before, found.path) == ((), sys.executable)
    assert found.version == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert sysconfig.get_platform() == f"linux-{found.machine}"


@pytest.mark.parametrize("words", ["/nonexistent/python", "false", "chroot /nonexistent python3"])
def test_means_that_is_missing_is_one_line(tool: ModuleType, words: str) -> None:
    """Nothing to build with: a line for each command, one at the end, and an end with an error."""
    script = Path(str(tool.__file__))
    done = subprocess.run(
        [sys.executable, str(script), "--only-given", "--python", words],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        f"skipped: {words} runs no Python",
        "No wheels: there is no CPython here that greenswitch is for",
    ]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64", {"x86_64 glibc"}),
        ("cp313-cp313-manylinux_2_34_aarch64", {"aarch64 glibc"}),
        ("cp313-cp313-musllinux_1_2_x86_64", {"x86_64 musl"}),
        ("cp313-cp313-linux_x86_64", {"x86_64 glibc"}),
        ("cp312-cp312-musllinux_1_2_x86_64", set()),
    ],
)
def test_where_a_wheel_runs(tool: ModuleType, tags: str, expected: set[str]) -> None:
    wheel = tool.Wheel(Path(f"greenswitch-0.1.0-{tags}.whl"), "cc")
    places = {
        f"{machine} {libc}": tool.Interpreter((), "python", "3.13", "3.13.1", machine, libc)
        for machine in ("x86_64", "aarch64")
        for libc in ("glibc", "musl")
    }
    assert {name for name, interpreter in places.items() if wheel.runs_on(interpreter)} == expected


def test_native_wheel_for_an_old_glibc_is_enough(tool: ModuleType) -> None:
    """What ziglang would build for the same systems is not built again."""
    old, musl = tool.CROSS[:2]
    for tags, enough in (
        ("manylinux2014_x86_64.manylinux_2_17_x86_64", True),
        ("manylinux_2_34_x86_64", False),
        ("linux_x86_64", False),
    ):
        wheel = tool.Wheel(Path(f"greenswitch-0.1.0-cp313-cp313-{tags}.whl"), "cc")
        assert wheel.serves("cp313", old) is enough
        assert not wheel.serves("cp312", old) and not wheel.serves("cp313", musl)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("libc", ["glibc", "musl"])
def test_extensions_are_named_as_they_are_looked_for(
    tool: ModuleType, tmp_path: Path, machine: str, libc: str
) -> None:
    """CPython tells musl's extensions from glibc's by their names from 3.11 on."""
    directory = tmp_path / "settings"
    directory.mkdir()
    subprocess.run(
        [sys.executable, "-c", tool.PREPARE, str(directory), "compiler", machine, libc],
        check=True,
        timeout=60,
    )
    settings: dict[str, dict[str, str]] = {}
    exec((directory / "gs_settings.py").read_text(encoding="utf-8"), settings)
    system = "musl" if libc == "musl" and sys.version_info >= (3, 11) else "gnu"
    version = f"{sys.version_info[0]}{sys.version_info[1]}"
    assert settings["build_time_vars"]["EXT_SUFFIX"] == f".cpython-{version}-{machine}-linux-{system}.so"
    header = directory / "include" / "pyconfig.h"
    assert "#define SIZEOF_LONG 8" in header.read_text(encoding="utf-8"), "it is the real one"
