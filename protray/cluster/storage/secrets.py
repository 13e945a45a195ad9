"""What must not be written down: secrets, by the name of a setting or the form of an address."""

import re

SECRET_WORDS = {"password", "passwd", "secret", "secrets", "credential", "credentials", "apikey"}
SECRET_ENDS = (("token",), ("api", "key"), ("access", "key"), ("private", "key"))  # hf_token, but not token_budget
SECRET_KEYS = r"x-amz-(?:signature|security-token|credential)|signature|sig|(?:\w+_)?token|passw(?:or)?d|api_?key"
WITHHELD = "(withheld)"


def is_secret(name: str) -> bool:
    """Tell by its name whether a setting must not be written down."""
    words = tuple(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().replace("-", "_").replace(".", "_").split("_"))
    return not SECRET_WORDS.isdisjoint(words) or any(words[-len(end) :] == end for end in SECRET_ENDS)


def redact(text: str) -> str:
    """Remove user and password from every address, and what grants access from a link's query."""
    text = re.sub(r"(://)(?![^/:@\s]+:\d+/)[^/:@\s]*:\S*@", r"\1***@", text)  # a password may hold / and @
    text = re.sub(r"(://)[^/@\s]+@", r"\1***@", text)
    return re.sub(rf"(?i)([?&](?:{SECRET_KEYS})=)[^&\s]+", r"\1***", text)
