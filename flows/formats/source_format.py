"""What a platform's log format is to Lapwing: one object of its own in, the canonical members of DESIGN 4 out."""

from typing import Any, Protocol

from flows.formats.reads import Reads


class SourceFormat(Protocol):
    """A platform's log format: one parsed JSON object (`msgspec.json.decode`) to the canonical members.

    Pure: no I/O, no clock, no state. What it gives is encoded as one object and read as a message of format `lapwing`
    is, so that a canonical member has one meaning, wherever it came from.
    """

    @property
    def type(self) -> str:
        """The name in `[input] format`, `--format` and the `type` of a `[[format]]` block: `"okta"`."""

    @property
    def secrets(self) -> tuple[tuple[str, ...], ...]:
        """Paths in the source object whose values are blanked: never scored, stored, shown or logged.

        A step is a member's name; `"*"` is any element of a list or any member. A string on the way that holds JSON is
        looked into. A path's value is blanked with all that is in it, whatever its type.
        """

    @property
    def reads(self) -> Reads | None:
        """Everything that `event` looks at, so that ordinary records need not go through it; None where not said."""

    def matches(self, record: dict[str, Any]) -> bool:
        """Whether an object is of this format, for `auto`: cheap, and true for one format only."""

    def event(self, record: dict[str, Any]) -> dict[str, Any]:
        """The canonical members of an object; absent ones are left out. Never raises, whatever the object.

        A value may be of the wrong type or bad: it is ignored then and named in `lapwing.ignored`. `time` is the
        platform's own value (RFC 3339 or an epoch number).
        """
