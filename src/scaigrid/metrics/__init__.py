"""What Prometheus is told: the registry (`registry`), requests (`requests`), the event loop (`lag`),
and the operation that shows it all (`routes`).

No label ever names a tenant, a user or anything of theirs: whoever may scrape sees sums alone.
"""
