"""Transformers without its progress bars and warnings, which say nothing useful here."""

from __future__ import annotations


def quiet_transformers() -> None:
    """Switches them off for this process."""
    from transformers.utils import logging  # transformers: whoever calls this needs it anyway

    logging.set_verbosity_error()
    logging.disable_progress_bar()
