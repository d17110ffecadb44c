# mypy: ignore-errors
# The package is installed in an environment of its own, where no type checker looks.
"""Turns of a LangGraph graph of one node, checkpointed by its SQLite saver."""

import asyncio

from durable_turns import TEXT, folder_and_seconds, measure
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph


async def echo(_state: MessagesState) -> dict:
    """Give the same answer every time."""
    return {"messages": [("assistant", TEXT)]}


async def main() -> None:
    """Measure turns, one thread id for each chat, all in one file."""
    folder, seconds = folder_and_seconds()
    async with AsyncSqliteSaver.from_conn_string(str(folder / "graph.db")) as saver:
        builder = StateGraph(MessagesState)
        builder.add_node("echo", echo)
        builder.add_edge(START, "echo")
        builder.add_edge("echo", END)
        graph = builder.compile(checkpointer=saver)

        async def turn(chat: str) -> None:
            config = {"configurable": {"thread_id": chat}}
            await graph.ainvoke({"messages": [("user", TEXT)]}, config)

        await measure("langgraph", turn, folder, seconds)


asyncio.run(main())
