"""The open pictures, one per browser tab, addressed by unguessable tokens."""

import math
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from clit_plugin.web.downloads import Download
from clit_plugin.web.guard import RefusedError
from clit_plugin.web.scene import Scene

MAX_PICTURES = 8  # pictures
MAX_PIXELS = 100_000_000  # of all of them together, at 12 bytes each


@dataclass
class Session:
    """An open picture: its name, its scene, the latest download and that download's number."""

    name: str
    scene: Scene
    download: Download | None = None
    number: int = 0

    def close(self) -> None:
        """Cancel the download and free the cached features."""
        self.cancel_download()
        self.scene.close()

    def cancel_download(self) -> None:
        """Cancel the download, if there is one."""
        if self.download is not None:
            self.download.cancel()
            self.download = None


@dataclass
class Sessions:
    """Open pictures by token. Beyond the limits the least recently used ones are closed, but never the newest.

    Attributes:
        max_pictures: Pictures that stay open.
        max_pixels: Their pixels in total; a picture that is open in several tabs counts once.
        by_token: The sessions, the most recently used last.
    """

    max_pictures: int = MAX_PICTURES
    max_pixels: int = MAX_PIXELS
    by_token: "OrderedDict[str, Session]" = field(default_factory=OrderedDict)

    def add(self, session: Session) -> str:
        """Open a session; returns its token."""
        token = secrets.token_urlsafe(24)
        self.by_token[token] = session
        while len(self.by_token) > 1 and (len(self.by_token) > self.max_pictures or self._pixels() > self.max_pixels):
            self.by_token.popitem(last=False)[1].close()
        return token

    def _pixels(self) -> int:
        pictures = {id(session.scene.picture): session.scene.size for session in self.by_token.values()}
        return sum(map(math.prod, pictures.values()))

    def get(self, token: str) -> Session:
        """The session of a token; raises RefusedError (404) if it is not open."""
        if token not in self.by_token:
            raise RefusedError(404, "this picture is no longer open; open it again")
        self.by_token.move_to_end(token)
        return self.by_token[token]

    def close(self, token: str) -> None:
        """Close the session of a token."""
        self.get(token)
        self.by_token.pop(token).close()
