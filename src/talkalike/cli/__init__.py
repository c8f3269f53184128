"""The command line: the only composition root. It opens resources and hands them down."""
