"""``clit`` and Python scripts without their start-up: one process imports everything once and forks for every command.

usage: python command_server.py SOCKET

``install`` makes executables that pass their arguments, working directory and standard streams to the server.
"""

import importlib
import json
import os
import runpy
import shlex
import socket
import sys
import traceback
from pathlib import Path

_CLIENT = """
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
socket.send_fds(connection, [json.dumps([sys.argv[2:], os.getcwd()]).encode()], [0, 1, 2])
sys.exit(int(connection.recv(16)))
"""


def install(folder: Path, address: Path) -> None:
    """Write ``folder``/clit and ``folder``/python, which run at the server that listens at ``address``."""
    folder.mkdir(parents=True, exist_ok=True)
    client = folder / "client.py"
    client.write_text(_CLIENT)
    for name in ("clit", "python"):
        file = folder / name
        words = shlex.join([sys.executable, "-I", "-S", str(client), str(address), name])
        file.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        file.chmod(0o755)


def serve(address: str) -> None:
    """Run commands one after the other until the process is ended."""
    import clit_plugin  # noqa: F401, not as a command: fills the registries
    from clit_plugin.commands.cli import COMMANDS, module_of

    for name in COMMANDS:
        module_of(name)
    for name in ("basicsr.train", "matplotlib.figure", "torch.utils.tensorboard"):
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        while True:
            connection, _ = server.accept()
            with connection:
                message, streams, _, _ = socket.recv_fds(connection, 65536, 3)
                child = os.fork()
                if child == 0:
                    server.close()
                    _become(streams, *json.loads(message))
                for stream in streams:
                    os.close(stream)
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                connection.sendall(str(status).encode())


def _become(streams: list[int], arguments: list[str], folder: str) -> None:
    """The child: end with the command's exit status."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
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
    if program == "clit" or rest[:2] == ["-m", "clit_plugin"]:
        return main(rest if program == "clit" else rest[2:])
    if rest[0] == "-m":  # linter, type checker, tests
        sys.stdout.write(f"not run here: {shlex.join(rest)}\n")
        return 0
    sys.argv, sys.path[0] = rest, str(Path(rest[0]).resolve().parent)
    runpy.run_path(rest[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
