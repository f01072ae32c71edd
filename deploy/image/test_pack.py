#!/usr/bin/env python3
"""Tests of pack: what is in an image, and that the same inputs give the same bytes."""

import gzip
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

PACK = pathlib.Path(__file__).parent / "pack"


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, PACK, *words], capture_output=True, text=True)


class Pack(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.program = self.folder / "program"
        self.program.write_bytes(b"\x7fELF")

    def pack(self, name: str) -> tarfile.TarFile:
        done = run(
            str(self.folder / name), "docker.io/portcullis/portcullis:0.1.0", "--user", "101:82",
            "--file", f"/bin/portcullis={self.program},mode=0755,capability=cap_net_bind_service",
            "--link", "/wait-shutdown=bin/portcullis", "--directory", "/tmp,mode=1777",
            "--command", "/bin/portcullis", "--command", "run",
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        archive = tarfile.open(self.folder / name)
        self.addCleanup(archive.close)
        return archive

    def blob(self, archive: tarfile.TarFile, descriptor: dict) -> bytes:
        data = archive.extractfile("blobs/" + descriptor["digest"].replace(":", "/")).read()
        self.assertEqual("sha256:" + hashlib.sha256(data).hexdigest(), descriptor["digest"])
        self.assertEqual(len(data), descriptor["size"])
        return data

    def test_same_inputs_same_bytes(self) -> None:
        self.pack("one")
        self.program.touch()
        self.pack("two")
        self.assertEqual((self.folder / "one").read_bytes(), (self.folder / "two").read_bytes())

    def test_descriptors_lead_from_the_index_to_the_layer(self) -> None:
        archive = self.pack("image")
        (image,) = json.load(archive.extractfile("index.json"))["manifests"]
        self.assertEqual(image["annotations"]["io.containerd.image.name"], "docker.io/portcullis/portcullis:0.1.0")
        manifest = json.loads(self.blob(archive, image))
        config = json.loads(self.blob(archive, manifest["config"]))
        self.assertEqual(config["config"], {"Cmd": ["/bin/portcullis", "run"], "User": "101:82", "WorkingDir": "/"})
        layer = gzip.decompress(self.blob(archive, manifest["layers"][0]))
        self.assertEqual(config["rootfs"]["diff_ids"], ["sha256:" + hashlib.sha256(layer).hexdigest()])
        with tarfile.open(fileobj=io.BytesIO(layer)) as members:
            found = [(member.name, member.type, oct(member.mode), member.linkname) for member in members]
            self.assertEqual(found, [
                ("bin", tarfile.DIRTYPE, "0o755", ""),
                ("bin/portcullis", tarfile.REGTYPE, "0o755", ""),
                ("tmp", tarfile.DIRTYPE, "0o1777", ""),
                ("wait-shutdown", tarfile.SYMTYPE, "0o777", "bin/portcullis"),
            ])
            headers = members.getmember("bin/portcullis").pax_headers
            # Revision 2, permitted: bit 10; nothing inheritable, nothing effective.
            wanted = "\0\0\0\x02" + "\0\x04\0\0" + "\0" * 12
            self.assertEqual(headers["SCHILY.xattr.security.capability"], wanted)

    def test_what_cannot_be_meant_is_refused(self) -> None:
        for words in (
            ["--file", f"program={self.program}"],
            ["--file", f"/a/../../program={self.program}"],
            ["--file", f"/program={self.program},capability=cap_sys_admin"],
            ["--file", f"/program={self.program},owner=1"],
            ["--directory", "/a", "--directory", "/a"],
        ):
            done = run(str(self.folder / "image"), "a/b:1", *words)
            self.assertNotEqual(done.returncode, 0, words)
            self.assertFalse((self.folder / "image").exists(), words)


if __name__ == "__main__":
    unittest.main()
