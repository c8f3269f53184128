"""One life of a reply for every face: claimed, admitted, in line, written, shown, accounted for.

A face hands in a small object for each reply (`session.Face`) and something that shows it (`writing.Display`); what
happens when, and that its end is stored whatever happens, is decided here alone.
"""
