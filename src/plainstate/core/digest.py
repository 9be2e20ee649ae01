"""Pure: BLAKE2b, a hash that nobody can find two contents for."""

from __future__ import annotations

__all__ = ["blake2b"]


def blake2b(data: bytes, *, size_bytes: int) -> bytes:
    """The digest of some bytes.

    Example:
        >>> blake2b(b"abc", size_bytes=4).hex()
        '63906248'
    """
    from hashlib import blake2b as hasher  # with its first use: OpenSSL comes with it, 2 ms

    return hasher(data, digest_size=size_bytes).digest()
