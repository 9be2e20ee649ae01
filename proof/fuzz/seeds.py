"""Inputs to begin with: good ones of each kind, mostly from the golden stores."""

from __future__ import annotations

import io
import json
from typing import Final

from plainstate import open_store
from proof.fuzz.oracle import MARK
from proof.fuzz.targets.store import FILES, GOLDEN

__all__ = ["seeds"]

_META: Final = GOLDEN / ".plainstate"
_FEED: Final = ".plainstate/feed/0000000001.open.jsonl"
_RFC: Final = (
    '[{"foo":["bar","baz"],"n":{"a":1}},'
    '[{"op":"add","path":"/foo/1","value":"qux"},{"op":"test","path":"/n","value":{"a":1}},'
    '{"op":"move","from":"/n/a","path":"/b"},{"op":"copy","from":"/foo","path":"/n/c"},'
    '{"op":"replace","path":"/foo/0","value":null},{"op":"remove","path":"/foo/2"}]]'
)
_STATE: Final = (
    b'{"plainstate":1,"document":"c/n","kind":"json","seq":1,"version":"1-00000000",'
    b'"snapshot":{"digest":"@","stamp":[0,0,0]},"time":"2026-01-01T00:00:01.000000Z"}\n'
    b'{"seq":2,"tx":"t-2","time":"2026-01-01T00:00:02.000000Z",'
    b'"patch":[{"op":"add","path":"/a","value":1}]}\n'
)
_DELETED: Final = _STATE + b'{"seq":3,"tx":"t-3","time":"","patch":[{"op":"remove","path":""}]}\n'
_REPLACED: Final = _STATE + (
    b'{"plainstate":1,"document":"c/n","kind":"json","seq":3,"version":"3-00000000","tx":"t-3",'
    b'"snapshot":{"digest":"0","stamp":[0,0,0]},"time":"2026-01-01T00:00:03.000000Z"}\n'
)
_AFTERWARDS: Final = (
    b'{"seq":4,"tx":"t-4","time":"","patch":[{"op":"add","path":"/b","value":1}]}\n'
)
_ABSENT: Final = _STATE.replace(b'"version":"1-00000000"', b'"version":null').replace(
    b'{"digest":"@","stamp":[0,0,0]}', b"null"
)
_TEXT: Final = _STATE.replace(b'"kind":"json"', b'"kind":"markdown"').replace(
    b'"/a","value":1', b'"/-","value":"more"'
)
_CHATS: Final = (
    '[{"role":"user","content":"Hello"},{"role":"assistant","content":null,"tool":[1]}]',
    '{"id":"c-1","messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}',
    '{"conversations":[{"from":"human","value":"a","timestamp":"2026-01-01T00:00:01+01:00"}]}',
    '{"conversation_id":7,"utterances":[{"speaker":"USER","text":"a","import":1}],"user":"ada"}',
    '[{"dialogue_id":"../x","turns":[{"speaker":"SYSTEM","utterance":"a"}],"services":["b"]}]',
    '{"role":"user","content":"a"}\n{"role":"assistant","content":"b"}\n',
    '{"messages":[{"role":"user","content":"a"}]}\n{"messages":[{"role":"user","content":"b"}]}\n',
)


_DEEP: Final = tuple(b"[" * levels + b"]" * levels for levels in (127, 128, 900, 1100))
"""At the limit of a value, above it, and around what a reader of JSON takes at all."""


def seeds() -> dict[str, list[bytes]]:
    """Inputs for each target that has a form to keep to."""
    journals = [(GOLDEN / name).read_bytes() for name in ("plans/busy.jsonl", "sessions/s-2.jsonl")]
    histories = [one.read_bytes() for one in sorted((_META / "history").rglob("*l"))]
    heads = [one.read_bytes() for one in sorted((_META / "heads").rglob("*l"))]
    feed = (_META / "feed/0000000001.open.jsonl").read_bytes()
    session = (GOLDEN / "sessions/s-1.json").read_bytes()
    return {
        "journal": _both([*journals, *heads]),
        "history": _both(histories),
        "feed": _both([b"\n".join(feed.split(b"\n")[start : start + 4]) for start in (0, 4, 8)]),
        "head": _both([one.replace(b'"plans/rest"', b'"c/n"') for one in heads]),
        "state": [
            b"{}\n" + _STATE,
            b"{}\n" + _DELETED,
            b"{}\n" + _REPLACED,
            b"{}\n" + _REPLACED + _AFTERWARDS,
            b"-\n" + _ABSENT,
            b'{"b":2}\n' + _STATE.replace(b'"@"', b'"0"'),
            b"#text\n" + _TEXT,
            *(b"{}\n" + _STATE.replace(b":1}]", b":" + deep + b"}]") for deep in _DEEP),
            b"{}\n"
            + _STATE
            + _STATE.replace(b'"seq":1', b'"seq":2', 1).splitlines(keepends=True)[0],
        ],
        "writer": [b"json plans/busy\nmarkdown notes/deep/rest\n", b"json .plainstate/trash/a\n"],
        "format": [(_META / "format.json").read_bytes(), *_DEEP],
        "json": [session, _RFC.encode(), *_DEEP, b'[1e308,-0.0,"\\ud83d\\ude00"]'],
        "patch": [
            *(_RFC.encode().replace(b"null", deep) for deep in _DEEP),
            _RFC.encode(),
            b'["text",[{"op":"add","path":"/-","value":" more"}]]',
        ],
        "diff": [
            json.dumps([json.loads(session), json.loads(_RFC)]).encode(),
            b"[[1,2],[1.0,[2]]]",
        ],
        "session": [session, session.replace(b"{}", _DEEP[0][1:-1])],
        "name": [b"plan-2026", "übung".encode(), b"con.txt", b"a..b", MARK + b"p\0l\0"],
        "category": [MARK + b"p\0/\0q\0", b"projects/alpha", b"notes.json/a", b"a/" * 16 + b"a"],
        "tx-id": [b"turn-17/attempt"],
        "time": [b"2026-01-01T00:00:01.5Z\n2026-01-01T01:00:01+01:00\n9999-12-31t23:59:59.9z"],
        "cursor": [b"3-120-abf21345", (_META / "followers/billing.json").read_bytes()],
        "address": [b"/tmp/state", b"file:///tmp/a%20b", b"file://localhost/a", b"memory:"],
        "pointer": [b"/a/1/b~1c", b"/a/1/~0", b"//0/0", b"/a/-"],
        "quantity": [b"17", b"90d", b"500M", b"7-6cde7722"],
        "search": [
            MARK + b"f\0o\0x\0",
            b'half "past 11" rest*',
            "東京 cafe".encode(),
            b"fox AND dog",
        ],
        "excerpt": ["cafe 東京\nEin Café in der Altstadt, 東京".encode()],
        "asking": [b"3-120-abf21345", b"plan", b"1-8a30deb3"],
        "store": [bytes([48 + at % len(FILES)]) + one for at, one in _files()],
        "archive": [_archive(), MARK + b"notes/a.md\x1f0\x1fHello\x1eplans/b.json\x1f0\x1f[1]"],
        "import": [
            *(one.encode() for one in _CHATS),
            *(_CHATS[0].replace("[1]", deep.decode()).encode() for deep in _DEEP),
        ],
    }


def _both(files: list[bytes]) -> list[bytes]:
    """Each as it is, and so that its checksums are made right."""
    return [*files, *(MARK + one for one in files)]


def _files() -> list[tuple[int, bytes]]:
    """What is in each file of a store, and what does not belong there; 48 is the digit 0."""
    found = []
    for at, name in enumerate(FILES, -48):
        path = GOLDEN / name
        data = path.read_bytes() if path.exists() else b""
        found += [(at, one) for one in (data, MARK + data, data[: len(data) // 2])]
        damaged = GOLDEN.parents[2].glob(f"damaged/*/changed/{name}")
        found += [(at, one.read_bytes()) for one in sorted(damaged)]
    dead = FILES.index(".plainstate/writers/01990000-0000-7000-8000-000000000000") - 48
    return [*found, (dead, b"json plans/busy\n"), (dead, b"json ../outside/busy\n"), *_hostile()]


def _hostile() -> list[tuple[int, bytes]]:
    """Well-formed lines that no store would write."""
    busy, told = (FILES.index(name) - 48 for name in (FILES[0], _FEED))
    journal, feed = ((GOLDEN / name).read_bytes() for name in (FILES[0], _FEED))
    elsewhere = feed.split(b"\n")[0].replace(b"sessions/old", b"../outside/busy")
    deep = [journal.replace(b'"value":"a"', b'"value":' + one) for one in _DEEP]
    return [(told, MARK + elsewhere + b"\n"), *((busy, MARK + one) for one in deep)]


def _archive() -> bytes:
    packed = io.BytesIO()
    with open_store("memory:") as store:
        store.save_json("plans", "today", {"steps": ["read"]})
        store.save_markdown("notes", "übung", "# Plan\n")
        store.export_archive(packed)
    return packed.getvalue()
