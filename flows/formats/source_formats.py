"""The platforms' formats that there are, in the order in which `auto` asks them."""

from typing import Final

from flows.formats.source_format import SourceFormat

FORMATS: Final[tuple[SourceFormat, ...]] = ()
"""Every platform's format. To add one: its module, and its line here."""
LAPWING: Final = "lapwing"
AUTO: Final = "auto"
TYPES: Final = tuple(one.type for one in FORMATS)
