"""Pure: BLAKE2b, a hash that nobody can find two contents for."""

from __future__ import annotations

__all__ = ["blake2b"]


def blake2b(*pieces: bytes, size_bytes: int) -> bytes:
    """The digest of some bytes, which may come in pieces.

    Example:
        >>> blake2b(b"abc", size_bytes=4).hex()
        '63906248'
        >>> blake2b(b"ab", b"c", size_bytes=4).hex()
        '63906248'
    """
    from hashlib import blake2b as hasher  # with its first use: OpenSSL comes with it, 2 ms

    found = hasher(digest_size=size_bytes)
    for piece in pieces:
        found.update(piece)
    return found.digest()
