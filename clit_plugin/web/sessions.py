"""The pictures that are open: one for every tab, under a name that nobody guesses."""

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from clit_plugin.web.guard import RefusedError
from clit_plugin.web.scene import Scene

MOST = 8  # pictures


@dataclass
class Download:
    """A file in the making.

    Attributes:
        pixels: To be computed.
        done: Of them.
        content: The file, once it is there.
        name: Which the browser gives it.
        media_type: Likewise.
        error: Why it failed, in one line.
        task: What makes it.
    """

    pixels: int
    name: str
    media_type: str
    done: int = 0
    content: bytes | None = None
    error: str | None = None
    task: "asyncio.Task[None] | None" = None

    def cancel(self) -> None:
        """Stop, and forget the file."""
        self.content = None
        if self.task is not None:
            self.task.cancel()


@dataclass
class Session:
    """An open picture: its name, the scene, the newest download and that one's number."""

    name: str
    scene: Scene
    download: Download | None = None
    number: int = 0

    def close(self) -> None:
        """Stop what is being made for it."""
        if self.download is not None:
            self.download.cancel()


@dataclass
class Sessions:
    """Open pictures by their token; beyond ``most`` the one that was unused longest is closed."""

    most: int = MOST
    found: "OrderedDict[str, Session]" = field(default_factory=OrderedDict)

    def add(self, session: Session) -> str:
        """Its token."""
        token = secrets.token_urlsafe(24)
        self.found[token] = session
        while len(self.found) > self.most:
            self.found.popitem(last=False)[1].close()
        return token

    def of(self, token: str) -> Session:
        """The session of a token; raises RefusedError (404) for one that is not open."""
        if token not in self.found:
            raise RefusedError(404, "this picture is no longer open; open it again")
        self.found.move_to_end(token)
        return self.found[token]

    def close(self, token: str) -> None:
        """Close one."""
        self.of(token)
        self.found.pop(token).close()
