"""The platforms' formats that there are, in the order in which `auto` asks them."""

from typing import Final

from flows.formats.auth0 import AUTH0
from flows.formats.cloudtrail import CLOUDTRAIL
from flows.formats.cognito import COGNITO
from flows.formats.entra import ENTRA
from flows.formats.keycloak import KEYCLOAK
from flows.formats.loginradius import LOGINRADIUS
from flows.formats.ocsf_events import OCSF
from flows.formats.okta import OKTA
from flows.formats.source_format import SourceFormat

FORMATS: Final[tuple[SourceFormat, ...]] = (
    OKTA,
    AUTH0,
    ENTRA,
    KEYCLOAK,
    CLOUDTRAIL,
    COGNITO,
    LOGINRADIUS,
    OCSF,
)
"""Every platform's format. To add one: its module, and its line here."""
LAPWING: Final = "lapwing"
AUTO: Final = "auto"
