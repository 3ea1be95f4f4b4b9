"""What every `[[format]]` has, whatever its type."""

import msgspec

from flows.formats.source_format import SourceFormat
from flows.formats.source_formats import FORMATS


class FormatBlock(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[format]]`: a platform's format, the name by which it is chosen, and the topics that come in it."""

    type: str = ""
    id: str = ""
    topics: tuple[str, ...] = ()

    def made(self) -> SourceFormat:
        """The format."""
        return next(one for one in FORMATS if one.type == self.type)

    def faults(self, path: str) -> list[str]:
        """What no single key shows."""
        return []
