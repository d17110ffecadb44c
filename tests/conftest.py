"""What every test stands on."""

import hypothesis
import pytest

# Helpers whose asserts should explain themselves, though pytest does not collect them.
pytest.register_assert_rewrite("tests.store.journal_contract")

# A property is about what happens, not how fast; a slow machine must not fail it.
hypothesis.settings.register_profile("gate", deadline=None, print_blob=True)
hypothesis.settings.load_profile("gate")
