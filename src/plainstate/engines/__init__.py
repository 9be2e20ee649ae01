"""Engines keep documents; `base.Engine` is the contract each of them fulfils."""
