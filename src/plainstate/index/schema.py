"""The tables of an index, which have no public format: another `SCHEMA` is another file."""

from __future__ import annotations

from typing import Final

__all__ = ["SCHEMA", "TABLES", "WORDS"]

SCHEMA: Final = 3
"""Raise it with every change of the tables, of what they hold, or of how texts become words."""

TABLES: Final = """
-- One row.  The rows below contain what the feed told up to `cursor`, and what the scan numbered
-- `scanned` saw.  They can answer once that is the scan that was demanded last.
-- `boot`: names the run of the system in which they were last looked at.
CREATE TABLE feed(
  cursor TEXT, demanded INTEGER NOT NULL, scanned INTEGER NOT NULL, boot TEXT NOT NULL
);
INSERT INTO feed VALUES(NULL, 1, 0, '');

-- `stamp`: the engine's, as it was before the document was read; NULL where only the feed told.
-- `age`: of a healthy session, its last change in µs, negative: so the newest comes first.
-- `texts_seq`: the state whose words can be found.
CREATE TABLE documents(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  category TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
  seq INTEGER, version TEXT, stamp TEXT, damaged TEXT, texts_seq INTEGER,
  user_id TEXT, messages INTEGER, created INTEGER, age INTEGER,
  title TEXT, preview TEXT, active_seed_id TEXT,
  UNIQUE(category, kind, name)
);
CREATE INDEX by_age ON documents(age, name) WHERE age IS NOT NULL;
CREATE INDEX by_user ON documents(user_id, age, name) WHERE age IS NOT NULL;
CREATE INDEX damaged ON documents(category, kind, name) WHERE damaged IS NOT NULL;
CREATE INDEX unread ON documents(age)
  WHERE damaged IS NULL AND (texts_seq IS NULL OR texts_seq < seq);

CREATE TABLE categories(category TEXT, kind TEXT, count INTEGER NOT NULL,
  PRIMARY KEY(category, kind)) WITHOUT ROWID;
CREATE TABLE users(user_id TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;

-- What a message or passage says.  `orphans`: documents that are gone, whose texts are still here.
CREATE TABLE texts(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  document INTEGER NOT NULL, role TEXT NOT NULL, position INTEGER NOT NULL,
  time INTEGER, body TEXT NOT NULL,
  UNIQUE(document, role, position)
);
CREATE TABLE orphans(document INTEGER PRIMARY KEY);

CREATE TRIGGER document_added AFTER INSERT ON documents BEGIN
  INSERT INTO categories VALUES(NEW.category, NEW.kind, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER document_removed AFTER DELETE ON documents BEGIN
  UPDATE categories SET count = count - 1 WHERE category = OLD.category AND kind = OLD.kind;
  DELETE FROM categories WHERE category = OLD.category AND kind = OLD.kind AND count = 0;
  INSERT INTO orphans SELECT OLD.id WHERE EXISTS(SELECT 1 FROM texts WHERE document = OLD.id);
END;
CREATE TRIGGER session_added AFTER INSERT ON documents WHEN NEW.age IS NOT NULL BEGIN
  INSERT INTO users VALUES(NEW.user_id, 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER session_removed AFTER DELETE ON documents WHEN OLD.age IS NOT NULL BEGIN
  UPDATE users SET count = count - 1 WHERE user_id = OLD.user_id;
  DELETE FROM users WHERE user_id = OLD.user_id AND count = 0;
END;
-- Whatever makes a session healthy or not sets its owner as well.
CREATE TRIGGER session_lost AFTER UPDATE OF user_id ON documents
  WHEN OLD.age IS NOT NULL AND (NEW.age IS NULL OR NEW.user_id <> OLD.user_id) BEGIN
  UPDATE users SET count = count - 1 WHERE user_id = OLD.user_id;
  DELETE FROM users WHERE user_id = OLD.user_id AND count = 0;
END;
CREATE TRIGGER session_won AFTER UPDATE OF user_id ON documents
  WHEN NEW.age IS NOT NULL AND (OLD.age IS NULL OR NEW.user_id <> OLD.user_id) BEGIN
  INSERT INTO users VALUES(NEW.user_id, 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;
"""

WORDS: Final = """
-- No text is kept here twice, nor sizes, which only FTS5's own ranking would need.  Beginnings of
-- words have lists of their own, because putting those of many words together takes too long.
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
  body, scope, content = '', columnsize = 0, prefix = '1 2 3',
  tokenize = "unicode61 remove_diacritics 2 categories 'L* M* N* Co'"
);
"""
