"""The rows of a CSV file, with their line numbers, from a file or stdin, plain or gzip.

How far it was read is known by bytes and by a digest of them, so that a second run can tell whether
it has the same file before it. A row may go over several lines, between quotes; what would never
end, a quote that somebody forgot, is one bad line and not the rest of the file.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import sys
import zlib
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self, cast

from smapd.errors import SmapError

from .csv_mapping import Mapping_

LONGEST_LINE: Final = 256 * 1024
MOST_LINES: Final = 100
"""Lines of one row."""
_CHUNK: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One row. ``line``: the number of its first line. ``error``: why it has no cells, else ""."""

    line: int
    raw: bytes
    cells: list[str]
    error: str = ""


class Source:
    """An open CSV file. ``name``: as messages call it."""

    def __init__(self, file: str, mapping: Mapping_, *, growing: bool = False) -> None:
        """``file``: - for stdin. ``growing``: leave a last line without an end for another time.

        :raises SmapError: if it cannot be opened.
        """
        self.name = "stdin" if file == "-" else file
        self.size: int | None = None
        """Of the file as it lies there; None where that is not known."""
        self.line = self.offset = 0
        """Lines and bytes (unpacked) of all rows given out so far."""
        self.header: list[str] | None = None
        self.head = b""
        """All that stands before the first row of values, as it stands there."""
        self.breaks_off = ""
        """Why the file ended before its end; "" if it did not."""
        self._mapping, self._growing = mapping, growing
        self._digest = hashlib.sha256()
        self._lines: deque[bytes] = deque()
        try:
            self._file = self._open(file)
            start = self._file.peek(2)[:2]
        except OSError as e:
            raise SmapError(f"{self.name}: {e.strerror or e}.") from None
        packed = start == b"\x1f\x8b"
        # read through a buffer: GzipFile's own lines are slow
        self._stream = (
            io.BufferedReader(gzip.GzipFile(fileobj=self._file)) if packed else self._file
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def digest(self) -> str:
        """SHA-256 of all bytes up to ``offset``."""
        return self._digest.hexdigest()

    def read_bytes(self) -> int:
        """How much of the file was read, packed as it lies there."""
        try:
            return self._file.tell()
        except (OSError, ValueError):
            return self.offset

    def begin(self) -> None:
        """Read what stands before the first row of values.

        :raises SmapError: if there is no header where there should be one.
        """
        for _ in range(self._mapping.skip_lines):
            line = self._next_line()
            if line is None:
                break
            self._done(line, 1)
            self.head += line
        if self._mapping.header:
            row = next(self._rows(), None)
            if row is None:
                raise SmapError(f"{self.name} is empty: it has no row that names its columns.")
            if row.error:
                raise SmapError(f"{self.name}:{row.line}: {row.error}.")
            self.header = [cell.strip() for cell in row.cells]
            self.head += row.raw

    def skip_to(self, offset: int, line: int, digest: str) -> bool:
        """Pass over what was read by an earlier run; False if it is not the same as then."""
        left = offset - self.offset
        pieces = list(self._lines)
        self._lines.clear()
        while left > 0:
            data = pieces.pop(0) if pieces else self._read(min(left, _CHUNK))
            if not data or len(data) > left:
                return False
            self._digest.update(data)
            left -= len(data)
        if left or self.digest != digest:
            return False
        self._lines.extend(pieces)
        self.offset, self.line = offset, line
        return True

    def __iter__(self) -> Iterator[Row]:
        return self._rows()

    # --- inside

    def _rows(self) -> Iterator[Row]:
        comment = self._mapping.comment.encode(self._mapping.encoding)
        while (raw := self._next_line()) is not None:
            number = self.line + 1
            if not raw.strip() or (comment and raw.startswith(comment)):
                self._done(raw, 1)
                continue
            if len(raw) > LONGEST_LINE:
                yield self._too_long(number, raw)
                continue
            if self._growing and not raw.endswith(b"\n"):
                return
            row = self._row(number, raw)
            if row is None:
                return
            yield row

    def _row(self, number: int, first: bytes) -> Row | None:
        """The row that begins with this line; None if its end is not written yet."""
        lines, quote = [first], self._mapping.quote.encode(self._mapping.encoding)
        while quote and sum(line.count(quote) for line in lines) % 2 and len(lines) < MOST_LINES:
            more = self._next_line()
            if more is None and self._growing:
                return None
            if more is None:
                break
            lines.append(more)
            if len(more) > LONGEST_LINE:
                break
        if self._growing and not lines[-1].endswith(b"\n"):
            return None
        row = self._parsed(number, lines)
        if row is None:  # a quote that is only a letter, or one that was never closed
            self._lines.extendleft(reversed(lines[1:]))
            lines = [first]
            row = self._parsed(number, lines) or Row(number, first, [], "a quote is not closed")
        self._done(row.raw, len(lines))
        return row

    def _parsed(self, number: int, lines: list[bytes]) -> Row | None:
        raw = b"".join(lines)
        mapping = self._mapping
        try:
            texts = [line.decode(mapping.encoding) for line in lines]
        except UnicodeDecodeError as e:
            return Row(number, raw, [], f"it is not {mapping.encoding} (byte {e.start + 1})")
        try:
            found = list(
                csv.reader(
                    texts,
                    delimiter=mapping.delimiter,
                    quotechar=mapping.quote or None,
                    quoting=csv.QUOTE_MINIMAL if mapping.quote else csv.QUOTE_NONE,
                    strict=True,
                )
            )
        except csv.Error as e:
            return None if len(lines) > 1 else Row(number, raw, [], f"it is no CSV: {e}")
        return Row(number, raw, found[0]) if len(found) == 1 else None

    def _too_long(self, number: int, raw: bytes) -> Row:
        kept = raw[:1024]
        self._digest.update(raw)
        self.offset += len(raw)
        while not raw.endswith(b"\n"):
            raw = self._readline()
            if not raw:
                break
            self._digest.update(raw)
            self.offset += len(raw)
        self.line += 1
        return Row(number, kept + b"\n", [], f"it is longer than {LONGEST_LINE // 1024} KiB")

    def _done(self, raw: bytes, lines: int) -> None:
        self._digest.update(raw)
        self.offset += len(raw)
        self.line += lines

    def _next_line(self) -> bytes | None:
        line = self._lines.popleft() if self._lines else self._readline()
        if self.offset == 0 and line.startswith(_BOM):
            self._done(_BOM, 0)
            line = line[len(_BOM) :]
        return line or None

    def _readline(self) -> bytes:
        try:
            return self._stream.readline(LONGEST_LINE + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as e:
            return self._broken(e)
        except OSError as e:
            raise SmapError(f"{self.name}: {e.strerror or e}.") from e

    def _read(self, most: int) -> bytes:
        try:
            return self._stream.read(most)
        except (EOFError, zlib.error, gzip.BadGzipFile) as e:
            return self._broken(e)
        except OSError as e:
            raise SmapError(f"{self.name}: {e.strerror or e}.") from e

    def _broken(self, error: Exception) -> bytes:
        cut = isinstance(error, EOFError)
        self.breaks_off = "it is cut short" if cut else "what follows is damaged"
        return b""

    def _open(self, file: str) -> io.BufferedReader:
        if file == "-":
            return io.BufferedReader(cast(io.RawIOBase, _Raw(sys.stdin.buffer)))
        opened: io.BufferedReader = io.BufferedReader(cast(io.RawIOBase, io.FileIO(file)), _CHUNK)
        self.size = os.fstat(opened.fileno()).st_size or None
        return opened


class _Raw(io.RawIOBase):
    """Stdin, so that its first bytes can be looked at and it stays open."""

    def __init__(self, stream: BinaryIO) -> None:
        self._from = stream
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        read1 = getattr(self._from, "read1", self._from.read)
        data = read1(len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at
