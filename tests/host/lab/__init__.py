"""A small internet for tests, in network namespaces that the test makes and takes away itself.

    test's namespace ·· relays ·· [host] ── wan0 ── [world]

`host` plays the worker's host: run the worker there (`lab.host.command(...)`), or a slot's outer end. `world` is all
that lies beyond: every address of `plan.WORLD` serves DNS, HTTP, HTTPS, echo and more, and writes down who called.

    async def test_it(lab):                      # the fixture in tests/host/conftest.py
        site = lab.site("pypi.registry.test")    # a name with an address of each family
        ...
        await lab.log.until(service="https", sni="pypi.registry.test", local=site.v4)
        assert not lab.log.hits(local=plan.METADATA_V4)

Nothing is routed back to addresses of slots: what reaches the world unmasked gets no answer.
"""

from tests.host.lab.lab import Lab, Site
from tests.host.lab.log import Hit, Log
from tests.host.lab.namespaces import Namespace
from tests.host.lab.sniffer import Sniffer

__all__ = ["Hit", "Lab", "Log", "Namespace", "Site", "Sniffer"]
