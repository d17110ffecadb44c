"""What is on disk is made known, once and in order."""

from io import BytesIO

from trio.testing import MockClock

from actors.testing import checked_runtime, records_of

CHAT = "live:a"


async def test_the_log_shows_every_number_of_a_session_from_the_first(autojump_clock: MockClock) -> None:
    """Creation writes events too; without their records the log could not prove that none is missing."""
    log = BytesIO()
    async with checked_runtime(log=log) as runtime:
        chat_id = await runtime.create(CHAT, history=[("system", "be short")])
        await (await runtime.send(chat_id, "go")).result()
        last = runtime.inspect(chat_id).seq
    seqs = [record["seq"] for record in records_of(log) if record["event"] == "journal.event"]
    assert seqs == list(range(1, last + 1))
