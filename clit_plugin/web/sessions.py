"""The pictures that are open: one for every tab, under a name that nobody guesses."""

import math
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from clit_plugin.web.downloads import Download
from clit_plugin.web.guard import RefusedError
from clit_plugin.web.scene import Scene

MOST = 8  # pictures
MOST_PIXELS = 100_000_000  # of all of them, 12 bytes each


@dataclass
class Session:
    """An open picture: its name, the scene, the newest download and that one's number."""

    name: str
    scene: Scene
    download: Download | None = None
    number: int = 0

    def close(self) -> None:
        """Free what was made for it, and stop what is being made."""
        self.stop()
        self.scene.close()

    def stop(self) -> None:
        """Give up its download."""
        if self.download is not None:
            self.download.cancel()
            self.download = None


@dataclass
class Sessions:
    """Open pictures by their token; the newest stays, and of the others those used last within the bounds.

    Attributes:
        most: Pictures that stay open.
        most_pixels: Of them together; a picture that several tabs see counts once.
        found: What is open.
    """

    most: int = MOST
    most_pixels: int = MOST_PIXELS
    found: "OrderedDict[str, Session]" = field(default_factory=OrderedDict)

    def add(self, session: Session) -> str:
        """Its token."""
        token = secrets.token_urlsafe(24)
        self.found[token] = session
        while len(self.found) > 1 and (len(self.found) > self.most or self._pixels() > self.most_pixels):
            self.found.popitem(last=False)[1].close()
        return token

    def _pixels(self) -> int:
        pictures = {id(session.scene.picture): session.scene.size for session in self.found.values()}
        return sum(map(math.prod, pictures.values()))

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
