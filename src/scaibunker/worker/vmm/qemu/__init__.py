"""The QEMU driver: q35, under KVM where that works and under TCG emulation where it does not."""
