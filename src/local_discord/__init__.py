"""A small Discord of our own: the same wire protocol on this computer, with a page to talk in. To try and to test."""
