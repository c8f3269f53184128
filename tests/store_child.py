"""What tests run in a process of its own: `python store_child.py open|claim|react|write URL [ID ...]`."""

from __future__ import annotations

import itertools
import sys

from talkalike.store import replies
from talkalike.store.replies import Beginning, ReplyState
from talkalike.store.store import open_store


def beginning(trigger_id: int, *, again: bool = False) -> Beginning:
    """A reply to that message."""
    return Beginning(
        trigger_id=trigger_id,
        channel_id=20,
        server_id=10,
        thread=False,
        asker_id=30,
        model="double",
        sampling={"temperature": 0.7},
        again=again,
    )


def main() -> None:
    """Says "ready", waits for a line on its input where several must start together, and prints what it did."""
    what, url = sys.argv[1:3]
    if what == "open":
        print("ready", flush=True)
        sys.stdin.readline()
    with open_store(url) as store:
        if what in ("claim", "react"):
            print("ready", flush=True)
            sys.stdin.readline()
        if what == "react":
            for reply_id in map(int, sys.argv[3:]):
                store.call(replies.note_reaction, reply_id, "👍")
        elif what == "claim":
            for trigger_id in map(int, sys.argv[3:]):
                if store.call(replies.begin, beginning(trigger_id)) is not None:
                    print(trigger_id, flush=True)
        elif what == "write":
            for trigger_id in itertools.count(1):
                reply_id = store.call(replies.begin, beginning(trigger_id))
                assert reply_id is not None
                store.call(replies.note_sent, reply_id, 1_000_000 + trigger_id, f"text {trigger_id}", 0)
                if trigger_id % 2:
                    store.call(replies.end, reply_id, ReplyState.DONE, tokens=trigger_id)
                print(reply_id, trigger_id, flush=True)


if __name__ == "__main__":
    main()
