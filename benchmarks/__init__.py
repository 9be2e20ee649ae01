"""Measurements: what plainstate costs, beside the bare system calls and what people use today."""
