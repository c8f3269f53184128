"""Conversations that people have on the website, with all their branches."""
