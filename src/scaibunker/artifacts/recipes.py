"""The base images that come with the product, as data. `debian` carries a recipe out."""

from dataclasses import asdict, dataclass

_CLEAN = """
rm -rf "$1"/var/log/* "$1"/var/cache/apt/* "$1"/var/cache/debconf/*-old "$1"/var/lib/apt/lists/* \
    "$1"/var/cache/ldconfig/aux-cache "$1"/var/lib/dpkg/*-old "$1"/var/lib/systemd/random-seed \
    "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/etc/passwd- "$1"/etc/group- "$1"/etc/shadow- \
    "$1"/etc/gshadow- "$1"/etc/subuid- "$1"/etc/subgid- "$1"/tmp/* "$1"/root/.wget-hsts
: > "$1"/etc/machine-id
"""
# The image names the archive as Debian's own apt does, not as the host that baked it.
_GENERIC_SOURCES = """
rm -f "$1"/etc/apt/sources.list.d/*
grep -E '^deb ' "$1"/usr/share/doc/apt/examples/sources.list | sed -E 's/ main .*/ main/' \
    > "$1"/etc/apt/sources.list
"""
# Bytecode that is right whatever the files' times are, which baking evens out, and that need not
# be compared with its source at each import. One process for each tree, and none that writes
# bytecode of what it imports: else the bytes would depend on which process met which file first.
_COMPILE_PYTHON = """
find "$1"/usr/lib/python3* -name __pycache__ -prune -exec rm -rf {} +
compile() {
    PYTHONHASHSEED=0 chroot "$1" python3 -B -S -m compileall -q -f -j1 \\
        --invalidation-mode unchecked-hash "$2"
}
compile "$1" /usr/lib/python3 & other=$!
compile "$1" /usr/lib/python3.11 && wait "$other"
"""
# The whole machine is the virtual environment here.
_FREE_PIP = """
printf '[global]\\nbreak-system-packages = true\\ndisable-pip-version-check = true\\n' > "$1"/etc/pip.conf
"""
# usr-is-merged: else its alternative comes, and all of Perl with it.
_SMALL_MACHINE = (
    "ca-certificates", "curl", "iproute2", "less", "netbase", "procps", "usr-is-merged",
)  # fmt: skip


@dataclass(frozen=True)
class ImageRecipe:
    """A base image made of Debian packages, and what a bunker of it gets by default.

    `hooks` are shell scripts run with the image's root as `$1`. The version shown to users is the
    first group of `version_pattern` in the image's file `version_file`.
    """

    name: str
    suite: str
    packages: tuple[str, ...]
    hooks: tuple[str, ...]
    version_file: str
    version_pattern: str
    default_cpu_millicores: int = 1000
    default_memory_mb: int = 512
    default_disk_mb: int = 1024

    def inputs(self) -> dict[str, object]:
        """Return what decides the image's content, for a cache key."""
        inputs = asdict(self)
        return {key: value for key, value in inputs.items() if not key.startswith("default_")}


BASE_IMAGES = (
    ImageRecipe(
        name="debian-12",
        suite="bookworm",
        packages=_SMALL_MACHINE,
        hooks=(_GENERIC_SOURCES, _CLEAN),
        version_file="./etc/debian_version",
        version_pattern=r"(\S+)",
    ),
    ImageRecipe(
        name="python-3.11",
        suite="bookworm",
        packages=(*_SMALL_MACHINE, "python-is-python3", "python3", "python3-pip", "python3-venv"),
        hooks=(_GENERIC_SOURCES, _FREE_PIP, _COMPILE_PYTHON, _CLEAN),
        version_file="./var/lib/dpkg/status",
        version_pattern=r"Package: python3\.11\n(?:.+\n)*?Version: ([\d.]+)",
    ),
)
