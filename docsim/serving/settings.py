"""Settings: how a server is to run. Worker processes get them as JSON in an environment variable."""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from docsim.errors import UsageError
from docsim.use.log import KEEP_DAYS

__all__ = ["VARIABLE", "Settings", "is_loopback"]

VARIABLE = "DOCSIM_SERVE"
"""The environment variable that holds the settings of a worker."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server is to run.

    Attributes:
        index: The index's directory, an absolute path.
        host: The address to listen at.
        port: The port to listen at; 0 for any that is free.
        workers: Processes that answer, at least 1.
        open: Whether anybody may read without a token, though the address is not a loopback address.
        names: Host names that requests may be addressed to, besides this machine's own.
        shown_by_default: Whether documents that nothing gives to a group are everybody's; otherwise nobody's.
        rules: A file of paths and the groups that may see what is below them; None for no such file.
        proxies: Addresses or networks of proxies whose headers name the user and the user's groups.
        time_limit: Seconds that a request may take, above 0.
        in_flight: Requests that a worker answers at once; more are turned away.
        rate: Requests a minute that one token or one address may make of a worker; 0 for no limit.
        log_texts: Whether logs hold what was searched for.
        watch: Sources to keep the index up to date with.
        record: Whether to record what is asked, shown, opened and said.
        keep_days: Days after which what was recorded is deleted, above 0.
        swaps: The share of recorded answers in which two neighbours may be swapped, in [0, 1].

    Raises:
        UsageError: A value is out of range.
    """

    index: Path
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    open: bool = False
    names: tuple[str, ...] = ()
    shown_by_default: bool = True
    rules: Path | None = None
    proxies: tuple[str, ...] = ()
    time_limit: float = 30.0
    in_flight: int = 64
    rate: int = 0
    log_texts: bool = False
    watch: tuple[str, ...] = ()
    record: bool = False
    keep_days: float = KEEP_DAYS
    swaps: float = 0.0

    def __post_init__(self) -> None:
        for proxy in self.proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise UsageError(f"expected the address or network of a trusted proxy, got {proxy!r}") from error

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    def exported(self) -> None:
        """Put the settings into the environment, where worker processes find them."""
        os.environ[VARIABLE] = json.dumps(asdict(self), default=str)

    @classmethod
    def imported(cls) -> Settings:
        """Return the settings that the environment holds."""
        held = json.loads(os.environ[VARIABLE])
        for name in ("names", "proxies", "watch"):
            held[name] = tuple(held[name])
        held["index"] = Path(held["index"])
        held["rules"] = Path(held["rules"]) if held["rules"] else None
        return cls(**held)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine only: a loopback address, or ``localhost``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
