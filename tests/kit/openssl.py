"""The `openssl` command as a stranger: a CA of its own, and whatever traps it can be made to set."""

from __future__ import annotations

import subprocess
from pathlib import Path

from headgate.crypto.x509 import Certificate

ID = "distid:1234567812345678"
CA_EXTENSIONS = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
LEAF_EXTENSIONS = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
SM2 = ("-algorithm", "SM2")
P256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


class OpenSSL:
    """Runs the command in a folder; gives both its outputs, and insists on how it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            ["openssl", *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        text = done.stdout.decode("utf-8", "replace")
        assert (done.returncode != 0) is fails, text
        return text


def _signing(sm2: bool, signer_id: str | None) -> tuple[str, ...]:
    if not sm2:
        return ("-sha256",)
    return ("-sm3", "-sigopt", signer_id) if signer_id else ("-sm3",)


class Authority:
    """A small CA run by openssl in a folder."""

    def __init__(self, openssl: OpenSSL) -> None:
        self.openssl = openssl
        self.folder = openssl.folder

    def certificate(
        self,
        name: str,
        issuer: str | None,
        extensions: str,
        *,
        signer_id: str | None = ID,
        key: tuple[str, ...] = SM2,
        by_sm2: bool = True,
        role: str = "headgate-gateway",
        subject: str | None = None,
        serial: str = "7",
        days: int = 30,
        file: str | None = None,
    ) -> Path:
        """`file.crt` (by default `name.crt`), signed by `issuer` or by itself; the key is `name.key`.

        A key that is there is used again.
        """
        file = file or name
        (self.folder / "ext").write_text(extensions)
        if not (self.folder / f"{name}.key").exists():
            self.openssl("genpkey", *key, "-out", f"{name}.key")
        own = _signing(key == SM2, signer_id)
        self.openssl(
            "req", "-new", "-key", f"{name}.key", *own, "-utf8",
            "-subj", subject or f"/OU={role}/CN={name}", "-out", f"{file}.csr",
        )  # fmt: skip
        check = ("-vfyopt", signer_id) if signer_id and key == SM2 else ()
        by = ("-key", f"{name}.key")
        if issuer:
            by = ("-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key")
            own = _signing(by_sm2, signer_id)
        self.openssl(
            "x509", "-req", "-in", f"{file}.csr", *check, *by, *own, "-days", str(days),
            "-set_serial", serial, "-extfile", "ext", "-out", f"{file}.crt",
        )  # fmt: skip
        return self.folder / f"{file}.crt"

    def load(self, *arguments: object, **named: object) -> Certificate:
        """As `certificate`, read by us."""
        return Certificate.load(self.certificate(*arguments, **named).read_bytes())  # type: ignore[arg-type]

    def crl(
        self,
        issuer: str,
        *revoked: tuple[str, str],
        extensions: str,
        signer_id: str | None = ID,
        digest: str = "sm3",
    ) -> Path:
        """`issuer.crl` of certificates by name and reason ("" for none), as `openssl ca` makes it."""
        (self.folder / "index.txt").write_text("")
        (self.folder / "crlnumber").write_text("1000\n")
        (self.folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=x\n[x]\ndatabase=index.txt\ncrlnumber=crlnumber\n"
            f"default_md={digest}\ndefault_crl_days=30\nunique_subject=no\ncrl_extensions=crl_ext\n[crl_ext]\n{extensions}"
        )
        by = ("-config", "ca.cnf", "-cert", f"{issuer}.crt", "-keyfile", f"{issuer}.key")
        for name, reason in revoked:
            why = ("-crl_reason", reason) if reason else ()
            self.openssl("ca", *by, "-revoke", f"{name}.crt", *why)
        signing = ("-sigopt", signer_id) if signer_id else ()
        self.openssl("ca", *by, "-gencrl", *signing, "-out", f"{issuer}.crl")
        return self.folder / f"{issuer}.crl"
