"""The VMM's process: found if an earlier daemon started it, else started."""

from scaibunker.worker.machines.body import Body
from scaibunker.worker.vmm.console import Console
from scaibunker.worker.vmm.nics import wired
from scaibunker.worker.vmm.port import VmmConfig, VmmHandle, unwatched


class RunVmm:
    """Its identity is written down before anything waits for the guest."""

    name = "VMM"

    async def do(self, body: Body) -> None:
        vmm = body.vmm = await body.find_vmm() or await self._start(body)
        vmm.on_exit(body.vmm_ended.set)
        body.console = Console(vmm.console_path, body.folder.console_log)
        body.console.open()
        body.timings.vmm_started_ms = body.elapsed_ms()

    async def undo(self, body: Body) -> None:
        vmm = await body.find_vmm()
        if vmm is not None:
            await vmm.stop()
        if body.console is not None:
            await body.console.close()
        body.vmm = None
        if body.record.process is not None:
            body.record.process = None
            body.save()

    async def _start(self, body: Body) -> VmmHandle:
        host, spec, folder = body.host, body.spec, body.folder
        # A daemon that died between starting a VMM and writing it down left one that nobody knows:
        # two of them must never write to one disk.
        host.cgroups.kill(body.host_name)
        config = VmmConfig(
            machine_id=spec.bunker_id,
            kernel=host.kernel,
            initramfs=host.initramfs,
            image=host.images.ensure(spec.image_sha256, spec.image_size),
            upper_disk=folder.upper_disk,
            vcpus=body.vcpus,
            memory_mb=body.memory_mb,
            token_hex=body.record.token_hex,
            run_dir=body.run_dir,
            log=folder.vmm_log,
            uid=body.record.uid,
            cgroup_procs=host.cgroups.procs(body.host_name),
        )
        memory = body.restored.memory if body.restored else None
        with wired(config, body.network) as config:
            if memory is None:
                vmm = await host.driver.start(config)
            else:
                with memory.open("rb") as source:
                    vmm = await host.driver.restore(config, source.fileno(), unwatched)
        if memory is not None:
            memory.unlink()
        body.record.process = vmm.process
        body.save()
        return vmm
