"""What the tests of LMDB files share."""

import pytest

from clit_plugin.data.lmdb_files import prepare
from clit_plugin.data.lmdb_files.sources import encode_source


class Encoding:
    """Records which sources are encoded, and presses Ctrl-C after ``stop_after`` of them."""

    def __init__(self):
        self.restart()

    def restart(self):
        """Forget the sources so far, and do not stop."""
        self.sources, self.stop_after = [], None

    def __call__(self, *, source, **options):
        if self.stop_after is not None and len(self.sources) >= self.stop_after:
            raise KeyboardInterrupt
        self.sources.append(source)
        return encode_source(source=source, **options)


@pytest.fixture
def encoded(monkeypatch):
    """The ``Encoding`` that ``clit prepare`` runs with."""
    encoding = Encoding()
    monkeypatch.setattr(prepare, "encode_source", encoding)
    return encoding
