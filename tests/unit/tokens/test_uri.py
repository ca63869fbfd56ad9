"""URIs of keys and tokens (RFC 7512): read, written, and never with a PIN."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_tokens.errors import TokenError
from countermark_tokens.pins import find_pin, read_pin
from countermark_tokens.uri import TokenUri, parse_token_uri


@pytest.mark.parametrize(
    "uri",
    [
        "file:/x",
        "pkcs11:token=a;object=b",
        "pkcs11:object=b?module-path=/x",
        "pkcs11:token=a?module-path=/x",
        "pkcs11:token=a;token=b;object=c?module-path=/x",
        "pkcs11:token=a;object=b;colour=red?module-path=/x",
        "pkcs11:token=a;object=b;type=public?module-path=/x",
        "pkcs11:token=a;object=b?module-path=/x&pin-value=1234",
        "pkcs11:token=a;object=b;pin-value=1234?module-path=/x",
        "pkcs11:token;object=b?module-path=/x",
        "pkcs11:token=a;object=b;module-path=/x",
        "pkcs11:object=b?module-path=/x&token=a",
        "pkcs11:token=%ff;object=b?module-path=/x",
        "pkcs11:token=a;object=b?module-path=",
    ],
)
def test_uris_that_name_no_key_or_hold_a_pin(uri):
    with pytest.raises(TokenError) as refused:
        parse_token_uri(uri)
    assert refused.value.code == "bad_token_uri"
    assert "1234" not in str(refused.value)


def test_uri_parts_are_decoded():
    uri = parse_token_uri("pkcs11:token=My%20token;id=%01%ff?module-path=/a%20b&pin-source=file:/run/pin")
    assert (uri.token, uri.id, str(uri.module), str(uri.pin_source)) == (
        "My token",
        b"\x01\xff",
        "/a b",
        "/run/pin",
    )


def test_a_token_is_named_without_a_key():
    uri = parse_token_uri("pkcs11:token=a?module-path=/x", key=False)
    assert not uri.names_key
    with pytest.raises(TokenError, match="no key"):
        parse_token_uri("pkcs11:token=a;object=b?module-path=/x", key=False)


_TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
_PATH = st.text(string.ascii_letters + " %;?&=ä", min_size=1, max_size=12).map("/{}".format)


@given(token=_TEXT, label=_TEXT, key_id=st.binary(max_size=12), module=_PATH, pin=st.none() | _PATH)
def test_what_is_written_is_read_again(token, label, key_id, module, pin):
    uri = TokenUri(module, token, "", label, key_id, pin)
    found = parse_token_uri(uri.text)
    assert (str(found.module), found.token, found.object, found.id) == (module, token, label, key_id)
    assert (str(found.pin_source) if found.pin_source else None) == pin


def test_a_pin_comes_from_its_file_or_the_environment_and_from_nowhere_else(tmp_path):
    (tmp_path / "pin").write_text("2718\n")
    (tmp_path / "empty").write_text("\n")
    bare = parse_token_uri("pkcs11:token=a;object=b?module-path=/x")
    filed = parse_token_uri(f"{bare.text}&pin-source=file:{tmp_path / 'pin'}")
    assert read_pin(bare, "PIN", {"PIN": "1"}) == "1"
    assert find_pin(bare, "PIN", {"PIN": ""}) is None
    # The file that the URI names goes first: the variable may be another token's.
    assert read_pin(filed, "PIN", {"PIN": "1"}) == "2718"
    for uri in (bare, parse_token_uri(f"{bare.text}&pin-source=file:{tmp_path / 'empty'}")):
        with pytest.raises(TokenError) as refused:
            read_pin(uri, "PIN", {})
        assert refused.value.code == "no_pin"
