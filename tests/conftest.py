"""What every test stands on."""

import signal

import hypothesis
import pytest

# Helpers whose asserts should explain themselves, though pytest does not collect them.
pytest.register_assert_rewrite(
    "tests.store.journal_contract", "tests.store.rename_contract", "tests.store.standing_contract"
)

# A property is about what happens, not how fast; a slow machine must not fail it.
hypothesis.settings.register_profile("gate", deadline=None, print_blob=True)
hypothesis.settings.load_profile("gate")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
