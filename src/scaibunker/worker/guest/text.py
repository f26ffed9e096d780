"""Text that a guest wrote, made fit to be stored, sent and shown."""

LIMIT = 1000


def clean(value: object) -> str:
    """At most `LIMIT` characters that are text: no lone surrogates, which JSON can smuggle in and
    nothing can write out, and no control characters."""
    text = str(value)[:LIMIT].encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)
