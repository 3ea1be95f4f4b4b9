"""A base detection by its id, as published or with another threshold."""

from typing import Annotated, Literal

import msgspec

from models.rules.base import Mode


class BaseDetection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="base"):
    """The base detection whose id it names (models.rules.defaults); what is given replaces what was published.

    `at_least` 0.0, `severity` "" and `quiet` "0s" leave the published value.
    """

    id: str = ""
    at_least: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0.0
    severity: Literal["", "low", "medium", "high", "critical"] = ""
    mode: Mode = "live"
    quiet: str = "0s"
