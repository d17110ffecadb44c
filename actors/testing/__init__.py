"""What hosts test their agents with, and we the runtime; nothing of the rest of the package imports it.

``ScriptedAgent`` does the steps it was given and ``Probe`` what the test says as it goes along; ``VirtualClock`` is
held by the test, ``FaultyJournal`` fails when it was told to, and ``crash_now``, ``passivate_and_wait`` and
``fence_now`` make happen what is rare. ``checked_runtime`` fails a test that leaves something behind, ``census`` counts
what could be, ``check_history`` looks at what was written, ``sweep`` has a fault happen at every step of a scenario,
and ``seeded_schedule`` makes a run repeat. Under trio's ``MockClock`` with autojump none of it waits for real time.
With pytest-trio, ``pytest_plugins = ["actors.testing"]`` in a ``conftest.py`` gives the fixture ``actors_runtime``.
"""

from contextlib import suppress

from actors.core.audit import check_history
from actors.store.faulty import Alters, Answers, Delays, Fails, Fault, FaultyJournal, Hangs, LosesAnswer
from actors.testing.agent import ScriptedAgent
from actors.testing.at_once import crash_now, fence_now, passivate_and_wait
from actors.testing.census import census
from actors.testing.checked import checked_runtime, settle, unsettled
from actors.testing.clock import VirtualClock
from actors.testing.probe import Got, Probe
from actors.testing.schedules import each_schedule, seeded_schedule
from actors.testing.steps import (
    Ask,
    Call,
    Do,
    Flood,
    Hang,
    IgnoreCancel,
    LateWrite,
    Raise,
    RaiseStray,
    Return,
    SaveState,
    Say,
    Script,
    ScriptKey,
    Shield,
    Step,
    TakeSteering,
    Think,
    Wait,
)
from actors.testing.stored import canonical, histories, records_of
from actors.testing.sweep import Cancels, Crashes, Kills, Meets, Scenario, sweep

with suppress(ImportError):  # a host without pytest has everything but the fixture
    from actors.testing.fixtures import actors_runtime as actors_runtime

__all__ = [
    "Alters", "Answers", "Ask", "Call", "Cancels", "Crashes", "Delays", "Do", "Fails", "Fault", "FaultyJournal",
    "Flood", "Got", "Hang", "Hangs", "IgnoreCancel", "Kills", "LateWrite", "LosesAnswer", "Meets", "Probe", "Raise",
    "RaiseStray", "Return", "SaveState", "Say", "Scenario", "Script", "ScriptKey", "ScriptedAgent", "Shield", "Step",
    "TakeSteering", "Think", "VirtualClock", "Wait", "canonical", "census", "check_history", "checked_runtime",
    "crash_now", "each_schedule", "fence_now", "histories", "passivate_and_wait", "records_of", "seeded_schedule",
    "settle", "sweep",
    "unsettled",
]  # fmt: skip
