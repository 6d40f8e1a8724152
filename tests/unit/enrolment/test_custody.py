"""Private keys at rest: sealed, bound to this box, taken over from plain ones, or never here at all."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.enrolment import Box, City

from headgate.config import Gateway, Site, State
from headgate.crypto import enveloped
from headgate.crypto.custody import is_sealed, open_key, seal_key, sealed_spki, wipe
from headgate.crypto.custody_module import ModuleKey, signed_digest
from headgate.crypto.custody_standin import StandIn
from headgate.crypto.provider import default_provider
from headgate.env import SystemFiles
from headgate.errors import SealBroken, SecurityError
from headgate.runtime.enrolment.modules import destroy_keys
from headgate.runtime.enrolment.papers import decode as decode_papers
from headgate.runtime.identity import load_identity, save_made
from headgate.runtime.twins import write_twins
from headgate.testing.env import fake_env

KEK, NONCE = bytes(range(16)), bytes(12)
VECTORS = Path(__file__).parents[2] / "vectors" / "sm" / "sm2_sign.json"


def test_a_sealed_key_opens_under_its_own_box_key_and_no_other() -> None:
    provider = default_provider()
    key = provider.sm2_generate()
    data = seal_key(provider, KEK, key, NONCE)
    assert sealed_spki(data) == key.public.spki
    assert open_key(provider, KEK, data).pem() == key.pem()
    with pytest.raises(SealBroken):
        open_key(provider, bytes(16), data)


def test_a_sealed_key_holds_nothing_of_the_plain_one() -> None:
    provider = default_provider()
    key = provider.sm2_generate()
    data = seal_key(provider, KEK, key, NONCE)
    plain = bytes(key.pkcs8())  # type: ignore[attr-defined]
    assert plain[36:68] not in data
    assert b"PRIVATE" not in data


@given(st.integers(0, 400), st.integers(1, 255))
def test_every_altered_or_cut_byte_of_a_sealed_key_is_found(at: int, change: int) -> None:
    provider = default_provider()
    data = seal_key(provider, KEK, provider.sm2_generate(), NONCE)
    at %= len(data)
    altered = data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]
    for broken in (altered, data[:at], data + b"\0"):
        with pytest.raises(SecurityError):
            open_key(provider, KEK, broken)


def test_a_sealed_file_under_another_public_key_is_found() -> None:
    provider = default_provider()
    one, two = provider.sm2_generate(), provider.sm2_generate()
    a, b = (seal_key(provider, KEK, key, NONCE) for key in (one, two))
    with pytest.raises(SealBroken):
        open_key(provider, KEK, a[:97] + b[97:])


def test_what_is_wiped_is_gone() -> None:
    secret = bytearray(b"secret")
    wipe(secret)
    assert secret == bytes(6)


def test_the_digest_for_modules_is_the_standards() -> None:
    """GB/T 32918.5, A.2: what an adapter over SDF_InternalSign_ECC has to hand in."""
    (vector,) = json.loads(VECTORS.read_text())["vectors"]
    spki = bytes.fromhex("04" + vector["x"] + vector["y"])
    digest = signed_digest(default_provider(), spki, bytes.fromhex(vector["msg"]))
    assert digest.hex() == vector["e"]


# ---------------------------------------------------------------- on a box


def plain_box(folder: Path) -> bytes:
    """A state folder as an earlier version left it: the key plain, and its twin."""
    pem = default_provider().sm2_generate().pem()
    write_twins(SystemFiles(), folder / "state" / "identity.key", pem)
    return pem


def test_a_plain_key_of_before_is_sealed_in_place(tmp_path: Path) -> None:
    pem = plain_box(tmp_path)
    box = Box(tmp_path)
    assert box.identity.signing_key.pem() == pem
    for name in ("identity.key", "identity.key.twin"):
        data = (box.state / name).read_bytes()
        assert b"PRIVATE KEY" not in data
        assert (box.state / name).stat().st_mode & 0o777 == 0o600
    assert box.load().signing_key.pem() == pem


@pytest.mark.parametrize("cut", range(5))
def test_a_power_cut_while_a_key_is_sealed_leaves_a_working_key(tmp_path: Path, cut: int) -> None:
    """The takeover is four atomic steps at most (kek, its twin, file, twin); cut before each of them."""
    pem = plain_box(tmp_path)

    class Cut(Exception):
        pass

    class CutFiles(SystemFiles):
        left = cut

        def replace(self, path: Path, data: bytes, mode: int = 0o644) -> None:
            if self.left == 0:
                raise Cut
            self.left -= 1
            super().replace(path, data, mode)

    site = Site(gateway=Gateway(id="g"), state=State(folder="state"), base=str(tmp_path))
    with contextlib.suppress(Cut):
        load_identity(fake_env(files=CutFiles()), site, default_provider())
    again = load_identity(fake_env(seed=9), site, default_provider())
    assert again.signing_key.pem() == pem
    for name in ("identity.key", "identity.key.twin"):
        assert is_sealed((tmp_path / "state" / name).read_bytes()[4 * ("twin" in name) :])


def test_a_copied_state_folder_without_its_credential_is_of_no_use(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "headgate-kek").write_text("00112233445566778899aabbccddeeff\n")
    box = Box(tmp_path, variables={"CREDENTIALS_DIRECTORY": str(credentials)})
    assert box.status()["keeper"] == "systemd"
    assert not (box.state / "kek").exists()
    with pytest.raises(SecurityError) as lost:
        Box(tmp_path)
    assert lost.value.code == "HG-6127"
    assert not (box.state / "kek").exists(), "a new key would lose the old identity"
    (credentials / "headgate-kek").write_text("ff112233445566778899aabbccddeeff\n")
    with pytest.raises(SecurityError) as other:
        Box(tmp_path, variables={"CREDENTIALS_DIRECTORY": str(credentials)})
    assert other.value.code == "HG-6120"


def test_a_credential_takes_the_place_of_the_file_only_with_the_same_content(
    tmp_path: Path,
) -> None:
    box = Box(tmp_path)
    pem = box.identity.signing_key.pem()
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    variables = {"CREDENTIALS_DIRECTORY": str(credentials)}
    (credentials / "headgate-kek").write_text("00" * 16)
    with pytest.raises(SecurityError) as two:
        Box(tmp_path, variables=variables)
    assert two.value.code == "HG-6123"
    (credentials / "headgate-kek").write_text((box.state / "kek").read_bytes().hex())
    moved = Box(tmp_path, variables=variables)
    assert moved.identity.signing_key.pem() == pem
    assert "HG-6128" in [p["code"] for p in moved.status()["problems"]]
    for name in ("kek", "kek.twin"):
        (box.state / name).unlink()
    done = Box(tmp_path, variables=variables)
    assert done.identity.signing_key.pem() == pem
    assert "HG-6128" not in [p["code"] for p in done.status()["problems"]]


async def test_no_private_key_of_an_enrolled_box_lies_plain_anywhere(tmp_path: Path) -> None:
    city, box = City(tmp_path / "ca"), Box(tmp_path / "box")
    await box.enrol(city)
    custody = box.desk.custody
    scalars = []
    for spki in custody.held():
        key = custody.find(spki)
        assert key is not None
        scalars.append(bytes(key.pkcs8())[36:68])  # type: ignore[attr-defined]
    assert len(scalars) == 3
    for name, data in box.files().items():
        assert b"PRIVATE KEY" not in data, name
        assert not any(scalar in data for scalar in scalars), name


class NoKek(SystemFiles):
    """A disk that takes everything but the box's own key, until it is mended."""

    broken = True

    def replace(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        if self.broken and path.name.startswith("kek"):
            raise OSError(28, "No space left on device")
        super().replace(path, data, mode)


@pytest.mark.parametrize("plain", [True, False], ids=["upgrade", "new"])
def test_nothing_is_sealed_on_disk_under_a_key_that_is_not(tmp_path: Path, plain: bool) -> None:
    """A power cut then would take the identity for good."""
    pem = plain_box(tmp_path) if plain else None
    site = Site(gateway=Gateway(id="g"), state=State(folder="state"), base=str(tmp_path))
    files = NoKek()
    env = fake_env(files=files)
    first = load_identity(env, site, default_provider())
    path = tmp_path / "state" / "identity.key"
    assert (not path.exists()) if pem is None else (path.read_bytes() == pem)
    assert first.custody is not None
    with pytest.raises(OSError, match="own key"):
        first.custody.generate()
    assert not save_made(env, first)
    files.broken = False
    assert save_made(env, first)
    again = load_identity(fake_env(seed=9), site, default_provider())
    assert again.signing_key.public.spki == first.signing_key.public.spki
    assert is_sealed(path.read_bytes())


# ---------------------------------------------------------------- in a module


def stand_in(folder: Path) -> StandIn:
    env = fake_env()
    return StandIn(default_provider(), env.files, folder, env.random.token)


def test_a_module_signs_decrypts_and_gives_no_key_out(tmp_path: Path) -> None:
    provider = default_provider()
    module = stand_in(tmp_path)
    held = module.generate()
    key = ModuleKey(module, held, provider)
    assert key.public.verify(key.sign(b"message"), b"message")
    assert key.decrypt(key.public.encrypt(b"secret")) == b"secret"
    with pytest.raises(SecurityError) as refused:
        key.pem()
    assert refused.value.code == "HG-6122"
    with pytest.raises(SecurityError):
        seal_key(provider, KEK, key, NONCE)
    assert not hasattr(key, "pkcs8")
    assert stand_in(tmp_path).held() == module.held()


def test_a_module_opens_the_key_centres_envelope_inside(tmp_path: Path) -> None:
    provider = default_provider()
    module = stand_in(tmp_path)
    signing = module.generate()
    made = provider.sm2_generate()
    wrapped = enveloped.seal_enveloped(
        provider.sm2_load_public(signing.spki), made, bytes(range(16))
    )
    held = module.import_enveloped(signing.id, wrapped)
    assert held.spki == made.public.spki
    assert module.decrypt(held.id, made.public.encrypt(b"for us")) == b"for us"


async def test_a_box_is_enrolled_and_renewed_with_keys_that_stay_in_a_module(
    tmp_path: Path,
) -> None:
    city = City(tmp_path / "ca")
    box = Box(tmp_path / "box", clock=city.clock, module="stand-in")
    await box.enrol(city)
    assert box.identity.enrolled is False  # no platform yet
    assert box.status()["keeper"] == "module"
    assert not (box.state / "identity.key").exists()
    first = box.identity.chain[0]
    assert isinstance(box.identity.signing_key, ModuleKey)
    assert box.identity.encryption_key is not None
    box.later(days=700)
    asked = await box.desk.request("uid:0")
    await box.desk.bring(city.answer(asked, renew=f"{first.serial:x}"), "uid:0")
    assert box.identity.chain[0].spki != first.spki
    assert isinstance(box.load().signing_key, ModuleKey)


def test_a_module_that_is_not_installed_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SecurityError) as missing:
        Box(tmp_path, module="acme-sdf")
    assert missing.value.code == "HG-6125"


@given(st.binary(max_size=400))
def test_no_bytes_on_disk_raise_anything_but_a_sentence(data: bytes) -> None:
    provider = default_provider()
    for broken in (data, b"HGKEY\x01" + data, b"HGKEY\x02" + data + bytes(200)):
        with pytest.raises(SecurityError):
            open_key(provider, KEK, broken)
    body = b"HGPAPERS\x01" + provider.sm3(data) + data
    for broken in (data, body):
        with pytest.raises(SecurityError):
            decode_papers(provider, broken)


async def test_a_module_is_emptied_when_a_box_is_taken_out_of_service(tmp_path: Path) -> None:
    city = City(tmp_path / "ca")
    box = Box(tmp_path / "box", clock=city.clock, module="stand-in")
    await box.enrol(city)
    assert destroy_keys(box.env, box.site, box.provider) == 3
    assert stand_in(box.state / "module").held() == ()
    assert destroy_keys(box.env, Box(tmp_path / "plain").site, box.provider) == 0
