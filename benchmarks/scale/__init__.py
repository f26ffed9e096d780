"""A day of a large fleet, simulated: the real scheduler and the real quotas, and everything else made up.

`python -m benchmarks.scale` (`make simulate`). `workload` says who asks for what and when, `organisation` who
may have how much, `fleet` what the workers are and what befalls them; `day` lets it happen, second by
second, and asks `scaibunker.controller.scheduler` and `scaibunker.controller.quotas` at every create.
`stores` has some bunkers live on MariaDB through the product's services, and counts what each costs there; `paper`
multiplies that by the day's rates, and `report` writes `docs/scale.md`.
"""
