"""Model files that lie."""

import json


def rewritten(model: bytes, **changes: str) -> bytes:
    """A model file that says something else of itself."""
    size = int.from_bytes(model[:8], "little")
    head = json.loads(model[8 : 8 + size])
    head["__metadata__"]["i2i"] = json.dumps(json.loads(head["__metadata__"]["i2i"]) | changes)
    new = json.dumps(head).encode()
    return len(new).to_bytes(8, "little") + new + model[8 + size :]
