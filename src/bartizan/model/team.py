"""Team: who owns APIs, and which hosts and paths the owner of the gateway has granted them."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from bartizan.model.fields import AsTuple, Declared, Host, UrlPath
from bartizan.model.policy import within


class Team(Declared):
    """What a team may serve: each of these paths on each of these hosts, with all that lies below."""

    hosts: Annotated[tuple[Host, ...], AsTuple] = Field(
        default=("*",), min_length=1, description="Hosts, also as *.example.com; by default any."
    )
    paths: Annotated[tuple[UrlPath, ...], AsTuple] = Field(min_length=1, description="Path prefixes, in whole segments.")

    def grants(self, host: str, path: str) -> bool:
        """Whether the team may serve this host pattern and path prefix."""
        return any(covers(granted, host) for granted in self.hosts) and any(within(path, granted) for granted in self.paths)

    def shared(self, other: "Team") -> Iterator[str]:
        """What both may serve, as host and path: nobody could say whose it is."""
        hosts = [one for one in self.hosts for two in other.hosts if covers(two, one)]
        hosts += [two for one in self.hosts for two in other.hosts if covers(one, two) and two not in hosts]
        paths = [one for one in self.paths for two in other.paths if within(one, two)]
        paths += [two for one in self.paths for two in other.paths if within(two, one) and two not in paths]
        yield from (f"{host}{path}" for host in dict.fromkeys(hosts) for path in dict.fromkeys(paths))


def covers(pattern: str, host: str) -> bool:
    """Whether all that a host pattern stands for lies within another: `*` is any host, `*.example.com` any below that name."""
    if pattern in {"*", host}:
        return True
    return pattern.startswith("*.") and host.removeprefix("*").endswith(pattern[1:]) and host != pattern[2:]
