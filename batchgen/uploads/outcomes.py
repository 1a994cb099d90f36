"""Why a file of the user's is not sent."""

from __future__ import annotations


class CannotSendError(Exception):
    """The file cannot be sent, now or later; the message names it and says why."""


class NotNowError(Exception):
    """Nothing is known to be wrong with the file; the message says what was in the way."""
