"""The road to one region: signs, calls, waits for jobs, pages, and words every failure as temporary or
permanent. The only user of httpx."""
