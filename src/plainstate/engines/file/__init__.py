"""The file engine: documents as plain files with a journal beside them."""
