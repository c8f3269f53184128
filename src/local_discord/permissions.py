"""Who may do what where, computed the way Discord documents it: base permissions from the roles, then the channel's
overwrites for everyone, for the roles together, and for the member. Threads take their channel's. Pure functions.
"""

from __future__ import annotations

from enum import IntFlag

from local_discord.model import Channel, ChannelType, Member, Server


class Permission(IntFlag):
    KICK_MEMBERS = 1 << 1
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    SEND_TTS = 1 << 12
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    CHANGE_NICKNAME = 1 << 26
    MANAGE_NICKNAMES = 1 << 27
    MANAGE_ROLES = 1 << 28
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    CREATE_PRIVATE_THREADS = 1 << 36
    SEND_MESSAGES_IN_THREADS = 1 << 38


ALL = (1 << 53) - 1

_EVERYONE = (
    Permission.ADD_REACTIONS
    | Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.USE_EXTERNAL_EMOJIS
    | Permission.CHANGE_NICKNAME
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.CREATE_PUBLIC_THREADS
    | Permission.CREATE_PRIVATE_THREADS
    | Permission.SEND_MESSAGES_IN_THREADS
)
EVERYONE_DEFAULT = int(_EVERYONE)  # what @everyone has on a new server
DM_PERMISSIONS = EVERYONE_DEFAULT | Permission.MENTION_EVERYONE | Permission.SEND_TTS

_NEEDS_SEND = Permission.MENTION_EVERYONE | Permission.SEND_TTS | Permission.ATTACH_FILES | Permission.EMBED_LINKS


def base_permissions(server: Server, member: Member) -> int:
    """On the server as a whole: everything for its owner and administrators, else the union over the roles."""
    if member.user_id == server.owner_id:
        return ALL
    granted = server.roles[server.id].permissions
    for role_id in member.role_ids:
        if (role := server.roles.get(role_id)) is not None:
            granted |= role.permissions
    return ALL if granted & Permission.ADMINISTRATOR else granted


def channel_permissions(server: Server, member: Member, channel: Channel) -> int:
    """In one channel or thread of the server. 0 where the member does not even see it."""
    place = server.channels.get(channel.parent_id or 0) if channel.is_thread else channel
    if place is None:
        return 0
    granted = _overwritten(base_permissions(server, member), server, member, place)
    if not granted & Permission.VIEW_CHANNEL:
        return 0
    if channel.type == ChannelType.PRIVATE_THREAD:
        joined = member.user_id in channel.member_ids
        if not joined and not granted & Permission.MANAGE_THREADS:
            return 0
    send = Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
    if not granted & send:
        granted &= ~_NEEDS_SEND
    return granted


def _overwritten(base: int, server: Server, member: Member, channel: Channel) -> int:
    if base & Permission.ADMINISTRATOR:
        return base
    granted = base
    if (everyone := channel.overwrites.get(server.id)) is not None:
        granted = granted & ~everyone.deny | everyone.allow
    allow = deny = 0
    for role_id in member.role_ids:
        if (overwrite := channel.overwrites.get(role_id)) is not None:
            allow |= overwrite.allow
            deny |= overwrite.deny
    granted = granted & ~deny | allow
    if (own := channel.overwrites.get(member.user_id)) is not None:
        granted = granted & ~own.deny | own.allow
    return granted


def top_position(server: Server, member: Member) -> int:
    """Of the member's highest role; the owner stands above all."""
    if member.user_id == server.owner_id:
        return 1 << 30
    return max((server.roles[r].position for r in member.role_ids if r in server.roles), default=0)
