"""For tests of what keeps data: file systems that crash and fail on demand."""
