import errno
import hashlib
import json
import os
import re
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from rleseg_core import product_of
from rleseg_core.checkpoints import list_models, read_info
from rleseg_core.download import download
from rleseg_core.errors import CheckpointError, OutputError
from rleseg_core.published import ARCHIVES, cache_folder, pull, unpack

CONTENT = bytes(range(256)) * 20_000  # 5 MB


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder with ranges, as file hosts do; `server.cut` ends answers early."""

    def do_GET(self):
        path = Path(self.directory) / unquote(self.path).lstrip("/")
        self.server.asked.append(self.headers.get("Range"))
        if not path.is_file():
            self.send_error(404)
            return
        data, etag = path.read_bytes(), f'"{hashlib.md5(path.read_bytes()).hexdigest()}"'
        first = 0
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if found and self.headers.get("If-Range") == etag and self.server.ranges:
            first = int(found[1])
        if first and first >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        self.send_header("ETag", etag)
        self.end_headers()
        self.wfile.write(data[first : self.server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.asked, server.cut, server.ranges = [], None, True
    server.folder, server.url = folder, f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def fetched(server, tmp_path):
    (server.folder / "model.zip").write_bytes(CONTENT)
    return tmp_path / "cache" / "model.zip"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Caches and installed models of a user without any."""
    monkeypatch.setattr(
        "rleseg_core.published.archives.user_cache_path", lambda _: tmp_path / "cache"
    )
    monkeypatch.setattr("rleseg_core.published.archives.user_models", lambda: tmp_path / "models")
    monkeypatch.setenv("RLESEG_MODELS", str(tmp_path / "models"))


def fetch(server, path, **options):
    return product_of(download(f"{server.url}/model.zip", path, **options))


def test_a_file_is_fetched_whole_and_once(server, fetched):
    reports = list(download(f"{server.url}/model.zip", fetched))
    assert fetched.read_bytes() == CONTENT
    assert (reports[0].n_bytes, reports[-1].n_bytes) == (0, len(CONTENT))
    assert {report.n_total for report in reports} == {len(CONTENT)}
    assert fetch(server, fetched) == fetched
    assert len(server.asked) == 1
    assert sorted(path.name for path in fetched.parent.iterdir()) == [
        "model.zip",
        "model.zip.lock",
        "model.zip.sha256",
    ]


@pytest.mark.parametrize("finished", [True, False])
def test_who_comes_second_waits_and_fetches_only_what_is_missing(server, fetched, finished):
    first = download(f"{server.url}/model.zip", fetched)
    while next(first).n_bytes < 2 * 2**20:
        pass
    second = download(f"{server.url}/model.zip", fetched)
    assert (next(second).n_total, len(server.asked)) == (None, 1)
    if finished:
        product_of(first)
    else:
        first.close()
    assert product_of(second) == fetched
    assert fetched.read_bytes() == CONTENT
    assert len(server.asked) == (1 if finished else 2)


def test_a_cancelled_download_goes_on_where_it_was(server, fetched):
    run = download(f"{server.url}/model.zip", fetched)
    while next(run).n_bytes < 2 * 2**20:
        pass
    run.close()
    assert not fetched.exists()
    first = next(iter(download(f"{server.url}/model.zip", fetched)))
    assert first.n_bytes >= 2 * 2**20
    fetch(server, fetched)
    assert fetched.read_bytes() == CONTENT
    assert server.asked[0] is None
    assert re.fullmatch(r"bytes=\d{7}-", server.asked[-1])


def test_a_connection_that_ends_early_is_told_and_taken_up(server, fetched):
    server.cut = 3_000_000
    with pytest.raises(CheckpointError, match=r"ended after 3,000,000 of 5,120,000 bytes"):
        fetch(server, fetched)
    assert not fetched.exists()
    server.cut = None
    fetch(server, fetched)
    assert fetched.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=3000000-"]


@pytest.mark.parametrize("ranges", [True, False])
def test_another_version_begins_anew(server, fetched, ranges):
    server.cut, server.ranges = 3_000_000, ranges
    with pytest.raises(CheckpointError, match="ended after"):
        fetch(server, fetched)
    server.cut = None
    (server.folder / "model.zip").write_bytes(CONTENT[::-1])
    fetch(server, fetched)
    assert fetched.read_bytes() == CONTENT[::-1]


def test_a_part_that_is_already_whole(server, fetched):
    server.cut = len(CONTENT)
    fetch(server, fetched)
    part = fetched.rename(fetched.with_name("model.zip.part"))
    etag = f'"{hashlib.md5(CONTENT).hexdigest()}"'
    part.with_name("model.zip.part.version").write_text(json.dumps(etag))
    fetch(server, fetched)
    assert fetched.read_bytes() == CONTENT


def test_part_of_an_unknown_version_begins_anew(server, fetched):
    fetched.parent.mkdir()
    fetched.with_name("model.zip.part").write_bytes(b"cut off")
    for note in ('{"cut', "[1]"):
        fetched.with_name("model.zip.part.version").write_text(note)
        fetch(server, fetched)
        assert fetched.read_bytes() == CONTENT
        fetched.rename(fetched.with_name("model.zip.part"))


def test_full_disk_is_told_with_the_path_that_was_asked_for(server, fetched, monkeypatch):
    def fsync(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space") as caught:
        fetch(server, fetched)
    assert caught.value.filename == str(fetched)


def test_checksums_are_compared(server, fetched):
    with pytest.raises(CheckpointError, match=r"has the checksum .* expected 000000000000"):
        fetch(server, fetched, sha256="0" * 64)
    assert not fetched.exists()
    fetch(server, fetched, sha256=hashlib.sha256(CONTENT).hexdigest())
    fetched.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(CheckpointError, match="it is damaged or another version; delete it"):
        fetch(server, fetched)


def test_without_a_network_one_sentence_says_what_to_do(server, fetched):
    with pytest.raises(CheckpointError, match=r"127\.0\.0\.1.* answers 404 .* with --archive"):
        product_of(download(f"{server.url}/other.zip", fetched))
    url = "http://127.0.0.1:9/model.zip"  # nobody listens there
    with pytest.raises(CheckpointError, match=r"127\.0\.0\.1:9 cannot be reached .* --archive"):
        product_of(download(url, fetched))
    assert {path.suffix for path in fetched.parent.iterdir()} == {".lock"}


def zipped(folder, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member in sorted(folder.iterdir()):
            file.write(member, f"{folder.name}/{member.name}")
    return path


def test_a_published_model_is_pulled_by_name(server, published, tmp_path):
    name = "ipsc-late"
    zipped(published, server.folder / ARCHIVES[name].path)
    path = product_of(pull(name, source=server.url))
    assert path == tmp_path / "models" / "ipsc-late.safetensors"
    info = read_info(path)
    assert info.name == "ipsc-late"
    assert info.mask_spec.class_names == ("ipsc", "dfc")
    assert "huggingface.co" in info.card["source"]
    assert "read https" in info.card["licence"]
    assert path in [found.path for found in list_models()]
    assert sorted(p.suffix for p in cache_folder().iterdir()) == [".lock", ".sha256", ".zip"]
    with pytest.raises(OutputError, match="exists already"):
        product_of(pull(name, source="http://127.0.0.1:9"))
    product_of(pull(name, source="http://127.0.0.1:9", overwrite=True))  # from the cache


def test_an_archive_fetched_elsewhere(published, tmp_path):
    archive = zipped(published, tmp_path / "theirs.zip")
    out = tmp_path / "mine.safetensors"
    assert product_of(pull("aris-4", out, archive=archive, class_names=("ice", "snow"))) == out
    assert read_info(out).mask_spec.class_names == ("ice", "snow")


@pytest.mark.parametrize("source", ["somewhere", "file:///tmp"])
def test_addresses_outside_the_web_are_refused(source):
    with pytest.raises(CheckpointError, match="must begin with https://"):
        product_of(pull("ipsc-late", source=source))


def test_names_that_are_not_published():
    with pytest.raises(CheckpointError, match="no published model 'aris', only pretrained-640, "):
        product_of(pull("aris"))


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil"])
def test_members_that_lead_out_are_refused(tmp_path, name):
    archive = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("log/ckpt-1.index", "x")
        file.writestr(name, "x")
    with pytest.raises(CheckpointError, match="leads out of its folder"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_are_refused(tmp_path):
    archive = tmp_path / "bad.zip"
    link = zipfile.ZipInfo("log/checkpoint")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(CheckpointError, match="leads out of its folder"):
        unpack(archive, tmp_path / "out")


def test_damaged_archives_are_told(published, tmp_path):
    archive = zipped(published, tmp_path / "cut.zip")
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match="not a zip archive, or is damaged"):
        unpack(archive, tmp_path / "out")
    middle = len(whole) // 2
    archive.write_bytes(whole[:middle] + bytes(100) + whole[middle + 100 :])
    with pytest.raises(CheckpointError, match="not a zip archive, or is damaged"):
        unpack(archive, tmp_path / "out")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "x")
    with pytest.raises(CheckpointError, match="holds no checkpoints"):
        unpack(archive, tmp_path / "out")


def test_the_names_are_those_of_the_reference(shared_dir):
    path = shared_dir / "reference/published-models.md"
    rows = re.findall(r"^\| ([\w-]+)(?: \([^|]*\))? \| (\S+\.zip) \|$", path.read_text(), re.M)
    assert {name: archive.path for name, archive in ARCHIVES.items()} == dict(rows)


def test_archive_that_would_fill_the_disk_is_refused_before_it_is_unpacked(published, tmp_path):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("log/ckpt-1.index", "x")
        file.writestr("log/ckpt-1.data-00000-of-00001", bytes(2**26))
    with pytest.raises(CheckpointError, match=r"of 0\.1 MB declares 2 members of 67\.1 MB"):
        unpack(bomb, tmp_path / "out")
    with zipfile.ZipFile(bomb, "w") as file:
        for number in range(1001):
            file.writestr(f"log/{number}", "x")
    with pytest.raises(CheckpointError, match="declares 1,001 members"):
        unpack(bomb, tmp_path / "out")
    with zipfile.ZipFile(bomb, "w") as file:
        file.writestr("log/ckpt-1.index", "x")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("log/ckpt-1.index", "y")
    with pytest.raises(CheckpointError, match="several members of one name"):
        unpack(bomb, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_archive_larger_than_the_free_disk_is_refused(published, tmp_path, monkeypatch):
    archive = zipped(published, tmp_path / "good.zip")
    monkeypatch.setattr("rleseg_core.published.archives.free_disk", lambda folder: 1000)
    with pytest.raises(CheckpointError, match=r"0\.0 MB of the disk of .* are free; make room"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_member_that_holds_more_than_it_declares_is_refused(tmp_path):
    archive = tmp_path / "liar.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("log/ckpt-1.index", bytes(2**20))
    data = archive.read_bytes()
    archive.write_bytes(data.replace((2**20).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(CheckpointError, match="not a zip archive, or is damaged"):
        unpack(archive, tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) < 2**20


def test_empty_note_of_a_checksum_is_made_anew(server, fetched):
    path = fetch(server, fetched)
    note = path.with_name(f"{path.name}.sha256")
    note.write_text("")
    assert fetch(server, fetched) == path
    assert len(note.read_text().split()[0]) == 64
