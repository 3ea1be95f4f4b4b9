"""Why there is no broker."""


class Unavailable(Exception):
    """This machine cannot have one: no Java 17, or the jars cannot be fetched."""


class Damaged(Exception):
    """A fetched jar is not the one of the list."""


class Failed(Exception):
    """The broker did not start, or stopped by itself; the end of its log is in the text."""
