"""What a power cut may leave of what was written to a file and not synced."""

from __future__ import annotations

from typing import Final

__all__ = ["SECTOR_BYTES", "contents_after"]

SECTOR_BYTES: Final = 512
"""A disk writes so much whole or not at all."""


def contents_after(durable: bytes, media: bytes) -> list[bytes]:
    r"""What may be found in a file: the first is what is durable, the last all that was written.

    Where it was written over, each sector is the old one or the new one; what was added is there,
    in part, as zeros, or not.

    Example:
        >>> contents_after(b"a", b"ab")
        [b'a', b'a\x00', b'ab']
    """
    if durable == media:
        return [durable]
    size = len(durable)
    if len(media) >= size and media[:size] != durable:
        old, *mixed, new = _overwritten(durable, media[:size])
        added = [more[size:] for more in contents_after(new, media)]
        found = [old, *mixed, *(before + more for before in (old, new) for more in added)]
        return [*(one for one in dict.fromkeys(found) if one != media), media]
    length = _common(durable, media)
    kept, new = media[:length], media[length:]
    first_line = new.find(b"\n") + 1
    cuts = {1, len(new) // 2, len(new) - 1, first_line}
    found = [durable, kept, kept + bytes(len(new))]
    for cut in sorted(cut for cut in cuts if 0 < cut < len(new)):
        found += [
            kept + new[:cut],
            kept + new[:cut] + bytes(len(new) - cut),
            kept + bytes(cut) + new[cut:],
        ]
    found += [media + durable[len(media) :], media]  # a cut that did not happen yet
    return list(dict.fromkeys(found))


def _overwritten(durable: bytes, media: bytes) -> list[bytes]:
    """What may be found where a file was written over: of each sector the old or the new.

    The first is the old content, the last the new one.
    """
    starts = range(0, len(media), SECTOR_BYTES)
    changed = [at for at in starts if _sector(durable, at) != _sector(media, at)]
    halves = changed[: len(changed) // 2], changed[len(changed) // 2 :]
    alone = [[at] for at in changed]
    missing = [[at for at in changed if at != old] for old in changed]
    found = [durable]
    for new in (*halves, *alone, *missing):
        sectors = (_sector(media if at in new else durable, at) for at in starts)
        found.append(b"".join(sectors))
    return [*(one for one in dict.fromkeys(found) if one != media), media]


def _sector(data: bytes, at: int) -> bytes:
    return data[at : at + SECTOR_BYTES]


def _common(first: bytes, second: bytes) -> int:
    """How many bytes both begin with."""
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:
        return shorter
    return next(i for i in range(shorter) if first[i] != second[i])
