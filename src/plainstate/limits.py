"""Every limit, with its reason."""

from __future__ import annotations

from typing import Final

MAX_NAME_BYTES: Final = 240
"""UTF-8 bytes of a document name or one category part: 255 is what ext4, xfs
and btrfs allow, and the suffix `.jsonl` must fit."""

MAX_CATEGORY_PARTS: Final = 16
"""Depth of nested categories: with MAX_CATEGORY_BYTES keeps paths far below PATH_MAX."""

MAX_CATEGORY_BYTES: Final = 1024
"""UTF-8 bytes of a whole category, for the same reason."""

MAX_NESTING: Final = 127
"""Levels of arrays and objects in a document: what serde_json, the ancestor's
reader, accepts, and far from Python's own recursion limit."""

MAX_INTEGER_DIGITS: Final = 4300
"""Characters of an integer, sign included: Python's own conversion limit
(sys.set_int_max_str_digits), which guards against quadratic parsing."""

MAX_WRITE_BYTES: Final = 8 * 1024 * 1024
"""Default for one write (a message, a patch, a whole document).  More is
nearly always an accident of an agent; `max_write_bytes=` raises it."""

MAX_TX_ID_BYTES: Final = 128
"""A transaction id is stored with its line and 64 times in each head."""

RECENT_TX_IDS: Final = 64
"""How many transaction ids of a document are remembered for safe retries."""

FOLD_FLOOR_BYTES: Final = 256 * 1024
"""A journal below this is never folded by an append: a fold costs several
syncs, which 256 KiB of appends make cheap, also when they are committed in
groups; replaying so much costs about a millisecond."""

FOLD_RATIO: Final = 3
"""An append folds when the journal exceeds a third of its snapshot: replaying
costs about four times as much a byte as decoding a snapshot, so a load stays
below 2.5 times a folded one, and folding stays constant per append."""

BLANK_BYTES: Final = 16 * 1024
"""At most so many blanks are written behind a journal's lines for the next ones to write over:
where a file does not grow, a sync writes data alone.  16 KiB: one append in 16 makes it grow."""

BLANK_UNIT_BYTES: Final = 4096
"""Blanks fill what file systems allocate anyway."""

QUIET_FOLD_S: Final = 5.0
"""A document that nobody wrote for this long is folded in the background, so
that its plain file is complete soon after the last turn.  While the file is
below FOLD_FLOOR_BYTES, and a fold costs next to nothing, its oldest waiting
transaction does not wait longer either, however busy the document is."""

SYNC_INTERVAL_S: Final = 0.1
"""Default interval of durability="periodic": what a power cut may lose."""

HISTORY_BYTES: Final = 1024 * 1024
"""Default of what history="keep" keeps of one document, beside one whole state
to start from: some thousand messages.  The file is rewritten when it exceeds
twice that, so a kept byte is written about twice."""

LOADED_BYTES: Final = 32 * 1024 * 1024
"""Files of the sessions that a handle keeps in memory after loading them, to read on from there
when they are loaded again: two or three of 10,000 messages, or hundreds of usual ones."""

LOCK_TIMEOUT_S: Final = 30.0
"""How long a writer waits for another one before it gives up."""

MAX_OPEN_DOCUMENTS: Final = 256
"""Journals kept open per store handle; the least recently used is closed."""

FEED_SEGMENT_BYTES: Final = 4 * 1024 * 1024
"""A segment of the change feed beyond this is full: about 10,000 changes, which a reader
takes in a tenth of a second."""

FEED_BYTES: Final = 64 * 1024 * 1024
"""Full segments kept: about 150,000 changes.  Who lags behind more looks at the documents."""

FEED_BYTES_FOR_FOLLOWERS: Final = 1024 * 1024 * 1024
"""Full segments kept while a named follower needs them; beyond this it is cut off, and told."""

WRITER_LIST_BYTES: Final = 256 * 1024
"""A writer's list of documents beyond this begins anew: it is read after a kill."""

MAX_QUERY_CHARACTERS: Final = 1000
"""Length of a search query: more is a pasted text, not a question."""

MAX_ARCHIVE_DOCUMENTS: Final = 10_000_000
"""Documents in an archive: an import keeps some 330 bytes for each until all are stored."""

MAX_MANIFEST_LINE_BYTES: Final = 64 * 1024
"""One line of an archive's manifest: far above the longest name with the longest reason."""

TRASH_GRACE_DAYS: Final = 7
"""How long a pruned session stays in the trash at least, unless told otherwise: long enough for
somebody to miss it, also over a weekend."""
