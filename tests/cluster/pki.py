"""Makes the keys and certificates of a control plane: one authority, and a certificate for each part."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

DAYS = "2"
_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Authority:
    """A certificate authority in `folder`, created with the openssl program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.crt"
        _request(
            *["-keyout", str(folder / "ca.key"), "-out", str(self.certificate), "-subj", "/CN=cluster-tests"],
            *["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"],
        )

    def issue(self, name: str, subject: str, *, server: Sequence[str] = ()) -> tuple[Path, Path]:
        """Issue a certificate and its key: for a server with these names (`DNS:...`, `IP:...`), else for a client `subject`."""
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        use = "extendedKeyUsage=serverAuth" if server else "extendedKeyUsage=clientAuth"
        names = ",".join(server or [f"DNS:{name}"])
        _request(
            *["-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key")],
            *["-keyout", str(key), "-out", str(certificate), "-subj", subject],
            *["-addext", use, "-addext", f"subjectAltName={names}"],
            *["-addext", "basicConstraints=critical,CA:FALSE"],
        )
        return certificate, key

    def signing_key(self, name: str) -> Path:
        """Make a key that signs service account tokens."""
        path = self.folder / f"{name}.key"
        _openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(path))
        return path


def kubeconfig(
    path: Path, server: str, authority: Path, user: dict[str, str], namespace: str = "default"
) -> Path:
    """Write a kubeconfig (as JSON, which is YAML) with the certificates embedded."""
    cluster = {"server": server, "certificate-authority-data": _base64(authority)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
        "current-context": "x",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))
    return path


def certificate_user(certificate: Path, key: Path) -> dict[str, str]:
    return {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _request(*arguments: str) -> None:
    _openssl("req", "-x509", "-days", DAYS, *_NEW_KEY, *arguments)


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(arguments)}:\n{done.stderr}")
