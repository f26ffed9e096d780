"""`cp`: where things land, and where they never do."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.sdk.fake_api import FakeApi, FakeFile, file_entry
from tests.unit.sdk.fake_transport import always, ok


@pytest.fixture(autouse=True)
def bunker(api: FakeApi) -> str:
    api.files["/home/bunker"] = FakeFile(type="directory")
    api.files["/tmp"] = FakeFile(type="directory")
    api.files["/link"] = FakeFile(type="symlink", target="/tmp")
    api.files["/dead"] = FakeFile(type="symlink", target="/nowhere")
    return api.add_bunker(name="box")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("bnk_1:/a", "/a"),
        ("bnk_1:/tmp", "/tmp/file"),
        ("bnk_1:/tmp/", "/tmp/file"),
        ("bnk_1:/new/", "/new/file"),
        ("bnk_1:/link", "/link/file"),
        ("bnk_1:a", "/home/bunker/a"),
        ("bnk_1:", "/home/bunker/file"),
        ("box:/a:b", "/a:b"),
    ],
)
def test_upload_lands(api: FakeApi, shell: Shell, tmp_path: Path, target: str, path: str) -> None:
    (tmp_path / "file").write_text("content")
    before = set(api.files)
    done = shell("cp", str(tmp_path / "file"), target)
    assert (done.code, done.out, done.err) == (0, b"", b"")
    assert set(api.files) - before == {path}
    assert api.files[path].content == b"content"


def test_relative_paths_of_root_begin_at_its_home(
    api: FakeApi, shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("content")
    assert shell("cp", "-u", "root", str(tmp_path / "file"), "bnk_1:x").code == 0
    assert "/root/x" in api.files
    assert api.requests("PUT")[0].params["user"] == "root"


def test_local_paths_with_a_colon(
    api: FakeApi, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b").write_text("content")
    assert shell("cp", "./a:b", "bnk_1:/x").code == 0
    assert shell("cp", str(tmp_path / "a:b"), "bnk_1:/y").code == 0
    assert shell("cp", "a:b", "bnk_1:/z").code == 2


def test_upload_of_directories(api: FakeApi, shell: Shell, tmp_path: Path) -> None:
    source = tmp_path / "src"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "a").write_text("a")
    (source / "evil").symlink_to("/etc/passwd")
    assert shell("cp", str(source), "bnk_1:/tmp").code == 2  # -r is missing
    for target, expected in [
        ("bnk_1:/tmp", "/tmp/src/sub/a"),
        ("bnk_1:/new", "/new/sub/a"),
        ("bnk_1:/other/", "/other/src/sub/a"),
    ]:
        done = shell("cp", "-r", str(source), target, "--json")
        assert expected in api.files
        assert done.code == 1
        assert done.json == {
            "files": 1,
            "bytes": 1,
            "skipped_count": 1,
            "skipped": [
                {
                    "path": str(source / "evil"),
                    "reason": "a symbolic link that leads out of the directory",
                }
            ],
        }
    shell("cp", "-r", f"{source}/.", "bnk_1:/tmp")
    assert "/tmp/sub/a" in api.files
    done = shell("cp", "-r", str(source), "bnk_1:/tmp")
    assert "left out: " in done.complaint
    assert "evil" in done.complaint


@pytest.mark.parametrize(
    ("target", "lands"), [("", "file"), ("new", "new"), ("dir", "dir/file"), ("dir/", "dir/file")]
)
def test_download_lands(
    api: FakeApi, shell: Shell, tmp_path: Path, target: str, lands: str
) -> None:
    api.files["/d/file"] = FakeFile(b"content")
    (tmp_path / "dir").mkdir()
    done = shell("cp", "box:/d/file", f"{tmp_path}/{target}")
    assert (done.code, done.out) == (0, b"")
    assert (tmp_path / lands).read_bytes() == b"content"


def test_download_of_directories(api: FakeApi, shell: Shell, tmp_path: Path) -> None:
    api.files["/src"] = FakeFile(type="directory")
    api.files["/src/sub"] = FakeFile(type="directory")
    api.files["/src/sub/a"] = FakeFile(b"aaaa")
    assert shell("cp", "bnk_1:/src", str(tmp_path)).code == 2
    for source, target, expected in [
        ("bnk_1:/src", tmp_path, "src/sub/a"),
        ("bnk_1:/src/", tmp_path / "new", "new/sub/a"),
        ("bnk_1:/src/.", tmp_path, "sub/a"),
    ]:
        assert shell("cp", "-r", source, str(target)).code == 0
        assert (tmp_path / expected).read_bytes() == b"aaaa"


@pytest.mark.parametrize("hostile", ["/src/../../x", "/etc/x", "/src/a/../../../x"])
def test_a_hostile_listing_writes_nothing(
    api: FakeApi, shell: Shell, tmp_path: Path, hostile: str
) -> None:
    api.files["/src"] = FakeFile(type="directory")
    entry = {**file_entry("/src/x", FakeFile(b"evil")), "path": hostile}
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    api.transport.faults.extend([api.transport.handler, always(ok([entry], has_more=False))])
    done = shell("cp", "-r", "bnk_1:/src", str(target))
    assert done.code == 1
    assert "refused" in done.complaint
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "deep",
        "deep/target",
        "deep/target/src",
    ]


def test_standard_output(api: FakeApi, shell: Shell) -> None:
    api.files["/bin"] = FakeFile(bytes(range(256)))
    done = shell("cp", "bnk_1:/bin", "-")
    assert (done.code, done.out, done.err) == (0, bytes(range(256)), b"")
    assert shell("cp", "bnk_1:/bin", "-", "--json").code == 2


def test_standard_input(api: FakeApi, shell: Shell) -> None:
    shell.pipe(bytes(range(256)))
    assert shell("cp", "-", "bnk_1:/bin", "--json").json["bytes"] == 256
    assert api.files["/bin"].content == bytes(range(256))
    assert shell("cp", "-", "bnk_1:/tmp/").code == 2


def test_what_is_not_there(api: FakeApi, shell: Shell, tmp_path: Path) -> None:
    assert shell("cp", "bnk_1:/nothing", str(tmp_path)).code == 3
    assert shell("cp", "bnk_9:/nothing", str(tmp_path)).code == 3
    assert shell("cp", str(tmp_path / "nothing"), "bnk_1:/x").code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "argv", [("a", "b"), ("bnk_1:/a", "bnk_1:/b"), ("a",), ("-", "-"), (":/a", "b")]
)
def test_wrong_arguments(api: FakeApi, shell: Shell, argv: tuple[str, ...]) -> None:
    assert shell("cp", *argv).code == 2
    assert api.transport.seen == []
