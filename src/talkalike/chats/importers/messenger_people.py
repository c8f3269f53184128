"""Who is in a Messenger thread, as its files tell: names are all there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from talkalike.chats.importers.json_stream import JsonThread
from talkalike.chats.importers.messenger_sentences import platform_sentence, sentence_form
from talkalike.chats.importers.messenger_text import TextRepair, is_deleted_account
from talkalike.chats.sources import READ_ERRORS, Entry
from talkalike.chats.values import Conversation, MessageKind, Platform, Speaker

_PAIR = 2
_COMPANY = {Platform.MESSENGER: "Facebook", Platform.INSTAGRAM: "Instagram"}


class People:
    """The people of one thread, each made once.

    A deleted account is somebody else in every thread: it gets its id once it is known which thread this is.
    """

    def __init__(self, platform: Platform = Platform.MESSENGER) -> None:
        self.repair = TextRepair()
        self._platform = platform
        self.headers: list[Mapping[str, object]] = []  # of the files read so far
        self.listed: tuple[str, ...] = ()  # as far as these tell
        # Sentences that stood for something attached (their words are not kept), by form, and a sample of each.
        self.placeholders = Counter[str]()
        self.placeholder_samples: dict[str, str] = {}
        self._by_raw_name: dict[str, Speaker] = {}
        self._by_name: dict[str, Speaker] = {}

    def by_raw_name(self, raw: str) -> Speaker:
        """The person an export's field names, in the export's encoding."""
        person = self._by_raw_name.get(raw)
        if person is None:
            person = self._by_raw_name[raw] = self.get(self.repair(raw))
        return person

    def get(self, name: str) -> Speaker:
        person = self._by_name.get(name)
        if person is None:
            person = Speaker(id=f"{self._platform}:{name}", name=name or f"{_COMPANY[self._platform]} user")
            self._by_name[name] = person
        return person

    def meet(self, header: Mapping[str, object]) -> None:
        self.listed = tuple(dict.fromkeys([*self.listed, *map(self.repair, names_in(header))]))

    def platform_sentence(self, text: str, author: Speaker) -> MessageKind | None:
        """The kind of message if the platform wrote this text, not its author."""
        kind = platform_sentence(text, author.name, self.listed) if text else None
        if kind is MessageKind.MEDIA:
            form = sentence_form(text, author.name, self.listed)
            self.placeholders[form] += 1
            self.placeholder_samples.setdefault(form, text.strip())
        return kind

    def everybody(self) -> tuple[Speaker, ...]:
        """Everybody whom the headers list or who spoke, in order."""
        listed = dict.fromkeys(self.repair(name) for header in self.headers for name in names_in(header))
        return tuple(dict.fromkeys([*map(self.get, listed), *self._by_name.values()]))

    def first_list(self) -> list[str]:
        """The first list of participants, in which two people of one name stand twice; empty where there is none."""
        header = next((header for header in self.headers if header.get("participants")), {})
        return [self.repair(name) for name in names_in(header)]

    def twin_key(self, chat: Conversation) -> str:
        """Equal for threads of the same people (and title, for a group); "" if the names do not tell people apart."""
        names = self.first_list()
        if len(names) < _PAIR or len(set(names)) < len(names) or any(map(is_deleted_account, names)):
            return ""
        return "\n".join([chat.title if chat.is_group else "", *sorted(names)])

    def notes(self, title: str) -> list[str]:
        """What should be known about people of one name in a chat."""
        return [
            f"{title}: {count} people in it are called {name}. An export knows people by their names only, so they are "
            "taken for one."
            for name, count in Counter(self.first_list()).items()
            if count > 1 and not is_deleted_account(name)
        ]


def names_in(header: Mapping[str, object]) -> list[str]:
    """The participants that a file lists, in the export's encoding: objects with a name, or names."""
    participants = header.get("participants")
    people = participants if isinstance(participants, list) else []
    names = (person.get("name") if isinstance(person, dict) else person for person in people)
    return [name for name in names if isinstance(name, str)]


def listed_names(entry: Entry) -> tuple[str, ...]:
    """Whom a file lists before its messages, which is where exports list them; empty where it does not."""
    try:
        with entry.open() as stream:
            thread = JsonThread(stream)
            next(thread.items(), None)
    except READ_ERRORS:
        return ()
    repair = TextRepair()
    return tuple(repair(name) for name in names_in(thread.header))


def pair_of(names: Collection[str]) -> frozenset[str]:
    """The two people of a direct chat; empty for anything else."""
    return frozenset(names) if len(names) == _PAIR else frozenset()


def same_people(some: Collection[str], others: Collection[str]) -> bool:
    """Whether two files list the same people; a deleted account may be any of them, an empty list says nothing."""
    one, two = _living(some), _living(others)
    return not some or not others or one == two or (len(some) == len(others) and (one < two or two < one))


def may_be_one(some: Collection[str], others: Collection[str]) -> bool:
    """Whether two lists of people may be of one thread at two times: people join groups, leave, and are deleted.

    Two chats of one owner share the owner, so a single name in common says nothing.
    """
    one, two = _living(some), _living(others)
    return one <= two or two <= one or len(one & two) >= _PAIR


def _living(names: Collection[str]) -> set[str]:
    return {name for name in names if not is_deleted_account(name)}
