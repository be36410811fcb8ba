"""Faults: what is wrong with the input, told to a person."""

from collections.abc import Iterable


class Fault(Exception):  # noqa: N818 - a fault of the input, not an error of the program
    """Something the user can mend: each message names the file or key, what is allowed, and what to do next.

    A stage that meets one prints its messages, one a line, and ends with exit status 1; no traceback is shown.
    """

    def __init__(self, messages: str | Iterable[str]) -> None:
        self.messages = [messages] if isinstance(messages, str) else list(messages)
        super().__init__("\n".join(self.messages))


def one_line(text: str) -> str:
    r"""A message as one line that a terminal shows as it stands: what is not printable, in names of files, is escaped.

    A byte that is not UTF-8, which Python holds as a lone surrogate, becomes \xe9 or the like.
    """
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def raise_all(messages: list[str]) -> None:
    """Raise one `Fault` with all the messages, if there are any."""
    if messages:
        raise Fault(messages)
