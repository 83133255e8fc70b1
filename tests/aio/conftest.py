"""What the tests of asyncio and greenlets share.

What belongs here: a certificate for TLS; leaving nothing behind for other tests. What never does: what only
one of the files needs.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenswitch.aio import bridge


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


@pytest.fixture(scope="module", autouse=True)
def no_loop_stays() -> Iterator[None]:
    """The loop that serves this thread ends, and with it the threads of its executor: other tests want to be
    the only thread."""
    yield
    host = getattr(bridge._here, "host", None)
    if host is not None:
        host.kill()
        assert host.asyncio_loop.is_closed()
