"""Contents of files that were damaged by a disk, or written by another program, which no reader expects."""

JSON_OF_ANOTHER_SHAPE = (
    *("[]", "{}", "null", "3", '"text"', "[1, 2]", '[{"since": 1}]', '{"files": {"a": 1}}'),
    "[" * 100_000,
)
"""Valid JSON that holds something else; at the end one deeper than Python goes."""


def damaged_forms(content: bytes) -> list[bytes]:
    """Return damaged forms of `content`: none, half, all but the end, noise, and JSON of another shape."""
    noise = bytes(range(256)) * 4
    return [
        b"",
        content[: len(content) // 2],
        content[:-3],
        noise,
        content[:20] + noise + content[20:],
        *map(str.encode, JSON_OF_ANOTHER_SHAPE),
    ]
