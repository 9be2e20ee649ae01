"""Proofs of promises that need more than a test run: root, time, real file systems."""
