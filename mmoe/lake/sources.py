"""Which raw files of a data folder belong to which day, by the glob of `schema.source.files`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path, PurePosixPath

from mmoe.errors import SchemaError
from mmoe.schema import Schema

TOKENS = {"{date}": (r"(\d{4}-\d{2}-\d{2})", "%Y-%m-%d"), "{yyyymmdd}": (r"(\d{8})", "%Y%m%d")}
GLOB_PARTS = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|\{date\}|\{yyyymmdd\}")
SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class RawFile:
    """A file of a data folder."""

    path: Path
    name: str
    """What the landing zone calls it, below its day's folder. Distinct within a day."""
    day: date | None
    """By its path; None where the pattern names no day, so that the rows' own times decide."""


def raw_files(data: Path, schema: Schema) -> list[RawFile]:
    """Every file that the pattern matches, by path. Names that start with "." or "_" are markers, not data.

    Raises SchemaError when the folder is absent, the pattern is unusable, or nothing matches.
    """
    pattern = schema.source.files
    if not data.is_dir():
        raise SchemaError(f"{data}: no such folder. Give a folder of engagement files.")
    tables = {data / table.file for table in schema.source.tables}
    found = sorted((file for file in _matching(data, pattern) if file.path not in tables), key=lambda file: file.path)
    if not found:
        raise SchemaError(
            f"{data}: no file matches source.files={pattern!r} of schema {schema.name!r}; there is {_content(data)}. "
            "Correct the folder, or the pattern in the schema file."
        )
    return found


def _matching(data: Path, pattern: str) -> Iterator[RawFile]:
    parts = PurePosixPath(pattern).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise SchemaError(
            f"source.files={pattern!r}: must be a pattern below the data folder; write it without / or .."
        )
    loose = pattern
    for token in TOKENS:
        loose = loose.replace(token, _token_glob(token))
    strict = _regex(pattern)
    try:
        paths = [path for path in data.glob(loose) if path.is_file() and not path.name.startswith((".", "_"))]
    except (ValueError, NotImplementedError) as error:
        raise SchemaError(f"source.files={pattern!r}: {error}. Correct the pattern.") from error
    for path in paths:
        relative = path.relative_to(data)
        match = strict.fullmatch(relative.as_posix())
        days = _days(pattern, match.groups()) if match else None
        if days is not None and len(days) <= 1:
            yield RawFile(path=path, name=_name(relative, pattern), day=min(days, default=None))


def _token_glob(token: str) -> str:
    """A token as a plain glob: digits, so that a wildcard beside it stays a wildcard of its own."""
    return re.sub(r"\d", "[0-9]", date(2000, 1, 1).strftime(TOKENS[token][1]))


def _regex(pattern: str) -> re.Pattern[str]:
    """The glob as a regular expression with one group for each token."""
    same = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"} | {
        token: TOKENS[token][0] for token in TOKENS
    }
    text, end = "", 0
    for part in GLOB_PARTS.finditer(pattern):
        text += re.escape(pattern[end : part.start()])
        text += same.get(part[0]) or part[0].replace("[!", "[^")
        end = part.end()
    return re.compile(text + re.escape(pattern[end:]))


def _days(pattern: str, texts: tuple[str, ...]) -> set[date] | None:
    """The days that a path names at the pattern's tokens; None if one is no date."""
    tokens = re.findall("|".join(map(re.escape, TOKENS)), pattern)
    try:
        return {datetime.strptime(text, TOKENS[token][1]).date() for token, text in zip(tokens, texts, strict=True)}
    except ValueError:
        return None


def _name(relative: Path, pattern: str) -> str:
    """The path without the folders that all files of the day share: those whose part of the pattern has no wildcard."""
    shared = PurePosixPath(pattern).parts[:-1]
    if "**" in pattern:
        return relative.as_posix()
    kept = [part for part, glob in zip(relative.parts, shared, strict=False) if re.search(r"[*?\[]", glob)]
    return "/".join([*kept, relative.name])


def _content(data: Path) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in data.iterdir())
    if not names:
        return "nothing in it"
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
