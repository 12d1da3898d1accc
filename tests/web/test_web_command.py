"""``clit web``: where it listens, how it exits, and what it refuses."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from inference_helpers import write_weights
from web_images import png

from clit_plugin.commands import web as command
from clit_plugin.commands.cli import run_command

ROOT = Path(__file__).parents[2]


def test_ctrl_c_ends_the_server_cleanly_even_while_it_decodes(tmp_path):
    (tmp_path / "a.png").write_bytes(png(150, 150))
    write_weights(tmp_path / "clit.pth")
    words = [
        sys.executable,
        "-m",
        "clit_plugin",
        "web",
        "a.png",
        "--weights",
        "clit.pth",
        "--port",
        "0",
        "--no-browser",
    ]
    words.append("--no-browser")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/  \(Ctrl\+C stops\)\n", line)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/api/pictures")
        token = re.search(rb'"token": "([\w-]+)"', connection.getresponse().read())[1].decode()
        tile = f"/api/pictures/{token}/tile?lens=0&width=1500&height=1500&x=0&y=0&w=512&h=512"
        connection.request("GET", tile)
        threading.Timer(0.1, process.send_signal, [signal.SIGINT]).start()
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


@pytest.fixture
def served(monkeypatch):
    """The addresses on which it would listen."""
    addresses = []

    async def serve(server, listening, *, browser):
        addresses.append(listening.getsockname()[0])
        listening.close()

    monkeypatch.setattr(command, "_serve", serve)
    return addresses


def test_the_page_is_local_unless_host_opens_it_which_prints_a_warning(served, capfd):
    assert run_command("web", ["--port", "0"]) == 0
    assert capfd.readouterr().err == ""
    assert run_command("web", ["--port", "0", "--host", "0.0.0.0"]) == 0
    assert "everyone who can reach this address" in capfd.readouterr().err
    assert served == ["127.0.0.1", "0.0.0.0"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jpg"], "missing.jpg: cannot be read"),
        (["--weights", "a.pth", "b.pth", "c.pth"], "expected one file or two to compare, got 3"),
        (["--port", "70000"], "--port: expected 0 to 65535"),
        (["--host", "999.1.1.1"], "; give an address of this computer, such as 127.0.0.1"),
    ],
)
def test_invalid_arguments_of_web_are_refused_in_one_line(served, capfd, arguments, message):
    assert run_command("web", arguments) == 2
    errors = capfd.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    assert not served


def test_a_port_that_is_taken_is_told_from_a_bad_host(served, capfd):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert run_command("web", ["--port", str(other.getsockname()[1])]) == 2
    assert "; try another --port\n" in capfd.readouterr().err
    assert not served
