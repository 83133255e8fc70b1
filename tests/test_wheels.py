"""What wheels there will be: the workflow, cibuildwheel's settings and the README say the same (spec W1).

What belongs here: comparing files that say where greenswitch runs.  What never does: building
(test_build.py), or what a built core looks like inside (test_binary.py).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

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
