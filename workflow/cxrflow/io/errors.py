"""Errors that a user can fix, and how they are reported."""

from collections.abc import Iterable


class UserError(Exception):
    """An error in the input: each message names the file or key, what is allowed, and what to do next.

    A stage prints the messages of such an error, one per line and without a traceback, and exits with status 1.
    """

    def __init__(self, messages: str | Iterable[str]) -> None:
        self.messages = [messages] if isinstance(messages, str) else list(messages)
        super().__init__("\n".join(self.messages))


def one_line(text: str) -> str:
    r"""Format a message as one line of printable characters; all others, as in names of files, are escaped.

    A byte that is not UTF-8, which Python represents as a lone surrogate, becomes \xe9 or similar.
    """
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def raise_all(messages: list[str]) -> None:
    """Raise one `UserError` with all the messages, if there are any."""
    if messages:
        raise UserError(messages)
