"""``clit`` and Python scripts without their start-up: one process imports everything once and forks for every command.

usage: python command_server.py SOCKET

The executables that ``serving`` makes pass their arguments, environment, working directory and standard streams to the
server. Where torchrun finds ``PYTHON_EXEC``, it starts its workers with that.
"""

import importlib
import json
import os
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLIENT = """
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
message = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(connection, [len(message).to_bytes(4, "big")], [0, 1, 2])
connection.sendall(message)
sys.exit(int(connection.recv(16) or 1))
"""


@contextmanager
def serving(folder: Path, package: Path) -> Iterator[Path]:
    """Run a server.

    Args:
        folder: Where its files are written; a short path, as sockets need one.
        package: The folder that holds the package ``clit_plugin``.

    Yields:
        A folder with the executables ``clit`` and ``python``.
    """
    commands, address = folder / "bin", folder / "socket"
    commands.mkdir(parents=True)
    client = folder / "client.py"
    client.write_text(_CLIENT)
    for name in ("clit", "python"):
        words = shlex.join([sys.executable, "-I", "-S", str(client), str(address), str(commands / name)])
        (commands / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (commands / name).chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(package), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen([sys.executable, __file__, address], cwd=folder, env=environment)
    while not address.exists():
        assert server.poll() is None, "the server did not start"
        time.sleep(0.1)
    try:
        yield commands
    finally:
        server.terminate()
        server.wait()


def serve(address: str) -> None:
    """Run commands until the process is ended."""
    import clit_plugin  # noqa: F401, not as a command: fills the registries
    from clit_plugin.commands.cli import COMMANDS, module_of

    for name in COMMANDS:
        module_of(name)
    for name in ("basicsr.train", "matplotlib.figure", "torch.distributed.run", "torch.utils.tensorboard"):
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that attend
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{address}.new")
        server.listen(16)
        os.rename(f"{address}.new", address)  # once it is there, clients can connect
        while True:
            connection, _ = server.accept()
            with connection:
                if os.fork() == 0:
                    server.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _attend(connection)
                    os._exit(0)


def _attend(connection: socket.socket) -> None:
    """Run a client's command, and end it when the client is killed."""
    length, streams, _, _ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb") as file:
        message = json.loads(file.read(int.from_bytes(length, "big")))
    child = os.fork()
    if child == 0:
        connection.close()
        _become(streams, *message)
    for stream in streams:
        os.close(stream)
    ended, status = 0, 0
    while not ended:
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended and select.select([connection], [], [], 0.02)[0]:
            os.kill(child, signal.SIGTERM)
            ended, status = os.waitpid(child, 0)
    with connection:
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _become(streams: list[int], arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """The child: end with the command's exit status."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # found anew
    os.chdir(folder)
    status = 1
    try:
        status = _run(arguments)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(end.code + "\n")
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(arguments: list[str]) -> int:
    from clit_plugin.commands.cli import main

    program, *rest = arguments
    if Path(program).name == "clit":
        return main(rest)
    sys.executable, sys.orig_argv = program, arguments
    rest = rest[rest[0] == "-u" :]
    if rest[0] != "-m":
        sys.argv, sys.path[0] = rest, str(Path(rest[0]).resolve().parent)
        runpy.run_path(rest[0], run_name="__main__")
    elif rest[1].startswith(("clit_plugin", "torch.")):
        sys.argv, sys.path[0] = rest[1:], os.getcwd()
        runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
    else:  # linter, type checker, tests
        sys.stdout.write(f"not run here: {shlex.join(rest)}\n")
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
