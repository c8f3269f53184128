"""The double on Discord: the only room that knows discord.py."""
