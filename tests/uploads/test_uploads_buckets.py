"""Buckets by themselves, against a real S3 server, the emulator and what libraries say."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from batchgen.emulator import EmulatorSettings, Fault, running_emulator
from batchgen.errors import BucketError
from batchgen.storage.opening import read_failure
from batchgen.uploads.bucket_sending import seconds_of_urls
from batchgen.uploads.buckets import BucketPlace, open_bucket
from batchgen.uploads.outcomes import NotNowError
from tests.storage.s3_server import KEY_ID, SECRET, S3Server

ORIGIN = "http://127.0.0.1:1"
HOUR = 3600


@pytest.fixture(autouse=True)
def _no_other_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def using(monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env


async def test_an_object_is_put_found_and_served_by_its_url(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = BucketPlace(f"s3://{bucket}/some/prefix", ORIGIN)
    async with open_bucket(place, using(monkeypatch, s3.env)) as opened:
        assert not await opened.has("a.png", 5)
        await opened.put("a.png", b"hello", "image/png")
        assert await opened.has("a.png", 5)
        assert not await opened.has("a.png", 6)
        url = await opened.url("a.png", 7 * 24 * HOUR)
    assert s3.keys(bucket) == ["some/prefix/a.png"]
    assert "X-Amz-Expires=604800" in url
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert (answer.headers["Content-Type"], await answer.read()) == ("image/png", b"hello")


async def test_a_bucket_that_does_not_exist_is_named_with_what_to_do(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = using(monkeypatch, s3.env)
    async with open_bucket(BucketPlace("s3://no-such-bucket/x", ORIGIN), env) as opened:
        with pytest.raises(BucketError, match="there is no such bucket") as raised:
            await opened.put("a.png", b"hello", "image/png")
    assert raised.value.where == "s3://no-such-bucket/x"
    assert "its name in the manifest" in str(raised.value.next_step)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (403, BucketError, "HTTP 403"),
        (401, BucketError, "HTTP 401"),
        (400, BucketError, "HTTP 400"),
        (301, BucketError, "another region"),
        (429, NotNowError, "HTTP 429"),
        (500, NotNowError, "HTTP 500"),
        (503, NotNowError, "HTTP 503"),
    ],
)
async def test_a_refusal_is_not_trouble_that_passes(
    s3: S3Server,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    kind: type[Exception],
    words: str,
) -> None:
    monkeypatch.setattr("batchgen.storage.opening.MOST_RETRIES", 0)
    s3.refuse = lambda _method, _path: status
    place = BucketPlace(f"s3://{bucket}", ORIGIN)
    async with open_bucket(place, using(monkeypatch, s3.env)) as opened:
        with pytest.raises(kind, match=words) as raised:
            await opened.put("a.png", b"hello", "image/png")
    for secret in (KEY_ID, SECRET, "X-Amz", "Debug"):
        assert secret not in str(raised.value)


async def test_a_server_that_is_gone_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchgen.storage.opening.MOST_RETRIES", 0)
    env = using(monkeypatch, S3Server(endpoint="http://127.0.0.1:9").env)
    async with open_bucket(BucketPlace("s3://pictures", ORIGIN), env) as opened:
        with pytest.raises(NotNowError, match="no answer"):
            await opened.has("a.png", 5)


async def test_no_credentials_are_found_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BucketError, match="there are no credentials for it") as raised:
        async with open_bucket(BucketPlace("s3://pictures", ""), {}):
            pass
    assert "aws sso login" in str(raised.value.next_step)


async def test_a_profile_that_does_not_exist_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(BucketError, match=r"no credentials for it \(ProfileNotFound\)"):
        async with open_bucket(BucketPlace("s3://pictures", ""), {}):
            pass


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://127.0.0.1:9000", "cannot fetch from this machine"),
        ("https://localhost:9000", "cannot fetch from this machine"),
        ("http://minio.example.com", "not https"),
    ],
)
async def test_an_endpoint_that_the_vendor_cannot_or_should_not_reach_is_refused(
    endpoint: str, words: str
) -> None:
    with pytest.raises(BucketError, match=words):
        async with open_bucket(BucketPlace("s3://pictures", ""), {"AWS_ENDPOINT_URL": endpoint}):
            pass


async def test_without_its_libraries_a_bucket_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    with pytest.raises(BucketError, match="not installed") as raised:
        async with open_bucket(BucketPlace("gs://pictures", ""), {}):
            pass
    assert "batchgen[buckets]" in str(raised.value.next_step)


@pytest.mark.parametrize("send", ["s3://pictures/a b", "gs://pictures", "az://pictures/deep/er"])
async def test_the_emulator_plays_any_bucket(send: str) -> None:
    async with (
        running_emulator(EmulatorSettings()) as emulator,
        open_bucket(BucketPlace(send, emulator.origin), {}) as opened,
    ):
        assert not await opened.has("a.png", 5)
        await opened.put("a.png", b"hello", "image/png")
        assert await opened.has("a.png", 5)
        url = await opened.url("a.png", HOUR)
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert await answer.read() == b"hello"
        emulator.arm(Fault(on="upload", kind="status", status=503))
        with pytest.raises(NotNowError, match="HTTP 503"):
            await opened.put("b.png", b"hello", "image/png")
    with pytest.raises(NotNowError, match="does not answer"):
        async with open_bucket(BucketPlace(send, emulator.origin), {}) as opened:
            await opened.has("a.png", 5)


async def test_google_signs_with_the_key_of_a_service_account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    account = {
        "type": "service_account",
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "batch@project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    async with open_bucket(BucketPlace("gs://pictures/deep", ""), {}) as opened:
        url = await opened.url("a.png", HOUR)
    assert url.startswith("https://storage.googleapis.com/pictures/deep/a.png?X-Goog-")


async def test_azure_signs_with_the_key_of_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acct")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(bytes(64)).decode())
    async with open_bucket(BucketPlace("az://pictures/deep", ""), {}) as opened:
        url = await opened.url("a.png", HOUR)
    assert url.startswith("https://acct.blob.core.windows.net/pictures/deep/a.png?")
    assert "&sig=" in url


async def test_azure_without_a_login_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acct")
    monkeypatch.setenv("PATH", str(tmp_path))  # no `az` in it
    async with open_bucket(BucketPlace("az://pictures", ""), {}) as opened:
        with pytest.raises(BucketError, match="no credentials that work") as raised:
            await opened.url("a.png", HOUR)
    assert "az login" in str(raised.value.next_step)


async def test_settings_that_make_no_sense_are_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/account.json")
    with pytest.raises(BucketError, match="its settings in the environment"):
        async with open_bucket(BucketPlace("gs://pictures", ""), {}):
            pass


def test_only_a_status_and_a_code_are_kept_of_what_a_library_says() -> None:
    failure = read_failure(
        f"Error performing PUT https://x/{KEY_ID} - Server returned non-2xx status code: 403"
        " Forbidden: <Error><Code>InvalidAccessKeyId</Code><Message>secret</Message></Error>"
    )
    assert (str(failure), failure.passes) == ("HTTP 403, InvalidAccessKeyId", False)
    slow = read_failure("status code: 400 <Error><Code>RequestTimeout</Code></Error>")
    assert slow.passes


@pytest.mark.parametrize(("timeout", "hours"), [(60, 6), (6 * HOUR, 7), (30 * 24 * HOUR, 7 * 24)])
def test_a_url_outlives_its_request(timeout: float, hours: float) -> None:
    assert seconds_of_urls(timeout) == hours * HOUR
