"""The platforms' formats that there are, in the order in which `auto` asks them."""

from typing import Final

from flows.formats.auth0 import AUTH0
from flows.formats.entra import ENTRA
from flows.formats.okta import OKTA
from flows.formats.source_format import SourceFormat

FORMATS: Final[tuple[SourceFormat, ...]] = (
    OKTA,
    AUTH0,
    ENTRA,
)
"""Every platform's format. To add one: its module, and its line here."""
LAPWING: Final = "lapwing"
AUTO: Final = "auto"
