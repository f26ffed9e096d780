"""What is written down of bridges, and what things of theirs are called."""

from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given, settings

from scaibunker.wire.worker.bridges import BridgeSpec
from scaibunker.worker.network.bridges import names
from scaibunker.worker.network.bridges.records import Records
from scaibunker.worker.network.naming import Names

LAN = BridgeSpec(bridge_id="brg_0lan", tenant_id="ten_1", name="lan")
WAN = BridgeSpec(bridge_id="brg_0wan", tenant_id="ten_2", name="wan")
LONGEST_NAME = 15
"""Of an interface."""


def test_what_is_written_is_read_by_the_next(tmp_path: Path) -> None:
    records = Records(tmp_path / "bridges")
    assert records.read() == {}
    records.write(LAN)
    records.write(WAN)
    records.write(WAN)
    assert Records(tmp_path / "bridges").read() == {"brg_0lan": LAN, "brg_0wan": WAN}
    for _ in range(2):
        records.remove("brg_0lan")
    assert Records(tmp_path / "bridges").read() == {"brg_0wan": WAN}


def test_what_makes_no_sense_is_passed_over(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write(LAN)
    (tmp_path / "brg_0half.json").write_text('{"bridge_id": "brg_0ha')
    (tmp_path / "brg_0wan.tmp").write_text(WAN.model_dump_json())
    (tmp_path / "brg_0other.json").write_text(WAN.model_dump_json())
    assert records.read() == {"brg_0lan": LAN}


def test_a_folder_that_is_not_there_has_nothing_to_remove(tmp_path: Path) -> None:
    Records(tmp_path / "nowhere").remove("brg_0lan")


@settings(deadline=None)
@given(st.text(min_size=1), st.integers(0, 15))
def test_a_port_is_known_by_its_machine(machine: str, index: int) -> None:
    port = names.port_of(machine, index)
    assert len(port) <= LONGEST_NAME
    assert len(names.intake_of(port)) <= LONGEST_NAME
    assert port.startswith(names.PORT_PREFIX)
    assert not names.intake_of(port).startswith(names.PORT_PREFIX)
    assert names.machine_part(port) == names.ports_of(machine)


def test_namespaces_of_bridges_are_not_taken_for_slots() -> None:
    worker = Names.of("wrk_1")
    name = names.namespace_of(worker, "brg_01234")
    assert name.startswith(names.namespace_prefix(worker))
    assert worker.number_of_namespace(name) is None
    assert not name.startswith(names.namespace_prefix(Names.of("wrk_2")))
