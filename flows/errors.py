"""The errors a user can meet, each with its exit code."""


class LapwingError(Exception):
    """Something the user should read as one line, without a traceback."""

    exit_code = 1


class ConfigError(LapwingError):
    """The configuration cannot be used; `faults` has every reason, each with its path."""

    exit_code = 2

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class UsageError(LapwingError):
    """The command cannot be carried out as it was given."""

    exit_code = 2


class Refused(LapwingError):
    """Lapwing could go on but will not: too little data, another configuration's state, a hold."""

    exit_code = 3


class InputError(LapwingError):
    """An input vanished or cannot be read."""


class OutputError(LapwingError):
    """An output cannot be written."""
