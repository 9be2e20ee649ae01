"""Archives: a store or a part of it as one file, and as Markdown for reading.

`docs/format/archive.md` specifies the file.  `tar.py` and `compress.py` are its two layers,
`manifest.py` is the list at its end; `exporting.py` and `importing.py` do the work.
"""
