"""What the tests of asyncio and greenlets share.

What belongs here: a certificate for TLS. What never does: anything of asyncio.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The files of a certificate for `localhost` and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with")
    folder: Path = tmp_path_factory.mktemp("certificate")
    names = str(folder / "certificate.pem"), str(folder / "key.pem")
    subprocess.run(
        [
            *"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split(),
            *"-addext subjectAltName=DNS:localhost -out".split(),
            names[0],
            "-keyout",
            names[1],
        ],
        check=True,
        capture_output=True,
    )
    return names
