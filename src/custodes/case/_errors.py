"""What can go wrong with a case, each as one line: what happened, where, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from typing import ClassVar


def shown(path: str | PathLike[str]) -> str:
    """A path as text that is safe to print: no control characters, no undecodable bytes."""
    text = fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class CaseError(Exception):
    """Base of every error of this package.

    Attributes:
        exit_code: what a command that ends on it returns (2 usage or configuration, 4 failed).
    """

    exit_code: ClassVar[int] = 4


class NotACase(CaseError):
    """The folder is not a case, or cannot become one."""

    exit_code = 2


class CaseLocked(CaseError):
    """Another process is writing to the case."""


class LedgerBroken(CaseError):
    """The ledger is not what its writer wrote. Nothing is changed by finding this out."""


class LedgerPoisoned(CaseError):
    """A flush to disk failed: what is durable is unknown, so this writer accepts nothing more."""


class EventRefused(CaseError):
    """An event that has no canonical form, or that names evidence which is not in the store."""


class EvidenceMissing(CaseError):
    """The store holds no such blob."""


class EvidenceCorrupt(CaseError):
    """A blob's bytes are not those that its name stands for."""


class LocatorInvalid(CaseError):
    """A span that its source does not have, or a member that cannot be read."""


class StorageError(CaseError):
    """The disk refused: full, read-only, not permitted, or failing."""


class ConfigError(CaseError):
    """``custodes.yaml`` cannot be used as it is.

    Attributes:
        problems: one line each, with file and line.
    """

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


_WHAT_TO_DO = {
    errno.ENOSPC: "no space is left on the disk: free some and run again",
    errno.EDQUOT: "the disk quota is used up: free some space and run again",
    errno.EFBIG: "the file would exceed the largest size allowed here: raise the limit",
    errno.EROFS: "the file system is read-only: use a folder that can be written to",
    errno.EACCES: "permission denied: use a folder that you may write to, or change its mode",
    errno.EPERM: "not permitted: use a folder that you may write to, or change its mode",
    errno.EIO: "the disk reported an input/output error: check it before you trust it further",
    errno.ENOENT: "there is no such file or folder",
    errno.ENOTDIR: "part of the path is not a folder",
    errno.EISDIR: "a folder is where a file was expected",
    errno.ELOOP: "a symbolic link is where a file was expected; links are not followed",
    errno.ENAMETOOLONG: "the name is too long for this file system",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
}


def storage_error(what: str, where: str | PathLike[str], error: OSError) -> StorageError:
    """An operating system error as one line."""
    advice = _WHAT_TO_DO.get(error.errno or 0, (error.strerror or str(error)).lower())
    return StorageError(f"cannot {what} {shown(where)}: {advice}")


@contextmanager
def reported(what: str, where: str | PathLike[str]) -> Iterator[None]:
    """Turn an OSError inside into a :class:`StorageError` that says what was being done, where."""
    try:
        yield
    except OSError as error:
        raise storage_error(what, where, error) from error
