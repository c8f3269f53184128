"""The chat page: talk to the double in the browser. Conversations are the visitor's own, with all their branches.

A reply is written by a task of this process (`reply.LIVE`), whoever looks on or has gone; the page follows it by
server-sent events, and without JavaScript the answer to the form waits for its end.
"""
