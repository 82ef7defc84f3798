"""The one exception a user is meant to read: what was wrong, what was expected, what was got, what to type."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input, a missing file, a wrong setting. The command line prints the message alone, never a traceback."""


class Stopped(BaseException):
    """The user asked the program to stop, and it does, with its work saved. No Exception, like KeyboardInterrupt: it is
    raised from wherever a signal comes, and nobody who deals with bad input on the way may take it for such."""


def suggest(word: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' with up to three names close to `word`, else the list of all names; '' if there are none."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    if close:
        return f" Did you mean {' or '.join(close)}?"
    return f" Known: {', '.join(names)}." if names else ""
