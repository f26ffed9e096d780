"""Starting, stopping and starting `scaibunker dev` again: what stays, and that nothing is left."""

import concurrent.futures

from tests.e2e.stack import Api, DevStack


def test_eight_at_once_and_nothing_left(private_stack: DevStack) -> None:
    private_stack.start()
    with private_stack.client() as http, concurrent.futures.ThreadPoolExecutor(8) as pool:
        api = Api(http)
        bunkers = list(pool.map(lambda _: api.create(), range(8)))
        done = list(pool.map(lambda b: api.exec(b, "hostname"), bunkers))
        assert [each["exit_code"] for each in done] == [0] * 8, done
        assert len({each["stdout"] for each in done}) == 8
        assert len(private_stack.vmm_pids()) == 8
    assert private_stack.stop() == 0
    assert private_stack.leftovers() == []


def test_bunkers_can_be_kept_over_a_restart(private_stack: DevStack) -> None:
    private_stack.start("--keep-bunkers")
    before = private_stack.credentials
    with private_stack.client() as http:
        api = Api(http)
        bunker = api.create()
        api.exec(bunker, "sleep 1000 & echo $! > /tmp/pid")
    assert private_stack.stop() == 0
    assert len(private_stack.vmm_pids(bunker)) == 1
    private_stack.start()
    assert private_stack.credentials == before
    with private_stack.client() as http:
        api = Api(http)
        api.until(bunker, "running")
        assert api.exec(bunker, "cat /proc/$(cat /tmp/pid)/comm")["stdout"] == "sleep\n"
        gone = api.create()
    assert private_stack.stop() == 0
    assert private_stack.leftovers() == []
    private_stack.start()
    with private_stack.client() as http:
        assert Api(http).status(gone)["status"] == "terminated"
        assert Api(http).status(bunker)["status"] == "terminated"
    assert private_stack.stop() == 0


def test_a_crash_of_everything_loses_no_bunker(private_stack: DevStack) -> None:
    private_stack.start()
    with private_stack.client() as http:
        bunker = Api(http).create()
    private_stack.kill()
    private_stack.start()
    with private_stack.client() as http:
        api = Api(http)
        api.until(bunker, "running")
        assert api.exec(bunker, "echo here")["stdout"] == "here\n"
    assert private_stack.stop() == 0
    assert private_stack.leftovers() == []
