"""`python -m scaibunker.artifacts`: build, bake, show and prune what machines boot from."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from scaibunker.artifacts import manifest
from scaibunker.artifacts.bake import Limits
from scaibunker.artifacts.records import Artifacts, ArtifactsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the process's exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "build":
            begun = monotonic()
            artifacts = manifest.ensure(_say, refresh=options.refresh)
            if not options.quiet:
                _say(f"kernel, initramfs and images are ready ({monotonic() - begun:.1f} s)")
                _show(artifacts)
        elif options.command == "bake":
            limits = dataclasses.replace(Limits(), content_bytes=options.max_mib << 20)
            image = manifest.add_image(options.name, options.tarball, _say, limits=limits)
            print(f"{image.name} {image.sha256} {image.size_bytes}")
        elif options.command == "prune":
            print(f"freed {manifest.prune() >> 20} MiB")
        else:
            _show(manifest.load(verify=options.verify))
    except (ArtifactsError, OSError) as error:  # a full disk is no reason for a traceback
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scaibunker.artifacts", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build the kernel, initramfs and base images")
    build.add_argument("--refresh", action="store_true", help="take Debian's current packages")
    build.add_argument("--quiet", action="store_true", help="say only what is being built")
    bake = commands.add_parser("bake", help="bake a root file system tarball into an image")
    bake.add_argument("tarball", type=Path, help="plain, gzip, bzip2, xz or zstd")
    bake.add_argument("--name", required=True, help="the image's name")
    bake.add_argument("--max-mib", type=int, default=4096, choices=range(1, 15 * 1024 + 1),
                      metavar="N", help="most content, in MiB (default 4096)")  # fmt: skip
    commands.add_parser("prune", help="remove what has been replaced and is older than an hour")
    show = commands.add_parser("show", help="list what there is")
    show.add_argument("--verify", action="store_true", help="read all and check the SHA-256")
    return parser


def _show(artifacts: Artifacts) -> None:
    boot = artifacts.boot
    print(f"kernel     {boot.kernel}")
    print(f"initramfs  {boot.initramfs}")
    print(f"version    {boot.version}")
    for image in artifacts.images:
        size = image.size_bytes >> 20
        print(f"image      {image.name} {image.version} ({size} MiB) {image.path}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
