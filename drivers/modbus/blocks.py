"""Which reads get all registers of a map: neighbours in one, what is refused in halves; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .registers import Register, Table

MOST_WORDS = 125
"""What the protocol lets one read ask for."""
_MOST_BITS = 2000
_BITS_A_WORD = 16


@dataclass(frozen=True, slots=True)
class Block:
    """One read: ``count`` words or bits of a table from ``address``, and the values in them."""

    table: Table
    address: int
    count: int
    registers: tuple[Register, ...]

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        if self.count == 1:
            return f"{self.table.value} {self.address}"
        return f"{self.table.value} {self.address} to {self.address + self.count - 1}"

    def words_of(self, register: Register, words: Sequence[int]) -> Sequence[int]:
        """The part of this block's words that is this register's."""
        at = register.address - self.address
        return words[at : at + register.count]


def merge(registers: Iterable[Register], most: int = MOST_WORDS, gap: int = 0) -> list[Block]:
    """The fewest reads of at most ``most`` words; none goes over more than ``gap`` unmapped words.

    Of bits, 16 count as a word. A value is never split, so one that is wider than ``most`` gets a
    read of its own. The answer is in the order of tables and addresses.
    """
    blocks: list[Block] = []
    for table in Table:
        factor = _BITS_A_WORD if table.is_bits else 1
        limit = min(most * factor, _MOST_BITS if table.is_bits else MOST_WORDS)
        rows = sorted((r for r in registers if r.table is table), key=lambda r: r.address)
        taken: list[Register] = []
        end = 0
        for row in rows:
            if taken and (
                row.address > end + gap * factor or max(end, row.end) - taken[0].address > limit
            ):
                blocks.append(_block(taken))
                taken = []
            end = max(end, row.end) if taken else row.end
            taken.append(row)
        if taken:
            blocks.append(_block(taken))
    return blocks


def halves(block: Block) -> tuple[Block, ...]:
    """The block in two, between values; as it is, alone, if all its values share an address."""
    addresses = sorted({r.address for r in block.registers})
    if len(addresses) == 1:
        return (block,)
    middle = addresses[len(addresses) // 2]
    return (
        _block([r for r in block.registers if r.address < middle]),
        _block([r for r in block.registers if r.address >= middle]),
    )


def _block(registers: Sequence[Register]) -> Block:
    first = min(r.address for r in registers)
    end = max(r.end for r in registers)
    return Block(registers[0].table, first, end - first, tuple(registers))
