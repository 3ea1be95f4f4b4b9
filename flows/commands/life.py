"""What a run says to machines of its beginning."""

import os
from importlib.metadata import version
from typing import Any

from flows import log
from flows.config import Config, config_hash


def began(config: Config, **members: Any) -> None:
    """The line `start`: who runs, with which configuration; `members` are the command's own."""
    log.record(
        "start", "a run begins", version=version("lapwing"), config_hash=config_hash(config), pid=os.getpid(), **members
    )
