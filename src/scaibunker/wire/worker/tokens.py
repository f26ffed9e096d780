"""The worker token as a setting: one, or several while one is being replaced.

Whoever has several shows the first and accepts them all.
"""

import json


def tokens_of(setting: str) -> tuple[str, ...]:
    """The tokens of a setting: one, several with commas between them, or a JSON list.

    Raises ValueError, which never has a token in it.
    """
    text = setting.strip()
    if not text.startswith("["):
        found = tuple(part.strip() for part in text.split(","))
    else:
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("it is neither a token nor a list of tokens") from None
        if not all(isinstance(token, str) for token in listed):
            raise ValueError("each token in the list must be a string")
        found = tuple(listed)
    if not all(found):
        raise ValueError("a token must not be empty")
    if not found:
        raise ValueError("there must be a token")
    return found
