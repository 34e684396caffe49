"""Every known way to make a guard check another URL or address than the one connected to."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelmux.upstream.downloads.url_guard import MAX_URL, DownloadRefused, UrlGuard, parse_url
from support.fetch_servers import Names, address_infos, assert_discloses_nothing

NOBODY = Names()


def guard(**settings: object) -> UrlGuard:
    return UrlGuard(resolver=NOBODY, **settings)  # type: ignore[arg-type]


def reason(url: str, **settings: object) -> str:
    """The reason why the text is rejected, "" if it is not."""
    try:
        guard(**settings).check(parse_url(url))
    except DownloadRefused as error:
        assert_discloses_nothing(error)
        return error.reason
    return ""


# Spelling


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://example.com", "example.com", 80, "/"),
        ("https://example.com", "example.com", 443, "/"),
        ("HTTPS://EXAMPLE.Com/A?b=C#d", "example.com", 443, "/A?b=C"),
        ("https://example.com?q=1", "example.com", 443, "/?q=1"),
        ("https://example.com#/../etc", "example.com", 443, "/"),
        ("https://example.com./x", "example.com", 443, "/x"),
        ("https://example.com:443/x", "example.com", 443, "/x"),
        ("https://xn--bcher-kva.example/x", "xn--bcher-kva.example", 443, "/x"),
        ("https://my_bucket.s3.example/x", "my_bucket.s3.example", 443, "/x"),
        ("https://93.184.215.14/x", "93.184.215.14", 443, "/x"),
        ("https://[2606:4700:0::1111]/x", "2606:4700::1111", 443, "/x"),
        ("  https://example.com/x  ", "example.com", 443, "/x"),
        ("https://example.com/a b/ü?n=ü", "example.com", 443, "/a%20b/%C3%BC?n=%C3%BC"),
        ("https://example.com/%2e%2E/a%20b?sig=a%2Bb%3D&x=1+2", "example.com", 443, "/%2e%2E/a%20b?sig=a%2Bb%3D&x=1+2"),
        ("https://example.com/a\\b", "example.com", 443, "/a%5Cb"),
        ("https://example.com/http://127.0.0.1/@127.0.0.1", "example.com", 443, "/http://127.0.0.1/@127.0.0.1"),
    ],
)
def test_a_url_is_parsed(url: str, host: str, port: int, path: str) -> None:
    target = parse_url(url)
    assert (target.origin.host, target.origin.port, target.path) == (host, port, path)
    assert reason(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        # IPv4 in the forms of inet_aton
        "http://2130706433/", "http://0x7f000001/", "http://017700000001/", "http://0x7f.1/", "http://0x7f.0.0.1/",
        "http://0177.0.0.1/", "http://127.1/", "http://127.0.1/", "http://127.0.0.01/", "http://127.0.0.1.1/",
        "http://0/", "http://0x/", "http://256.1.1.1/", "http://1.2.3.0x4/", "http://00000.0.0.0/",
        "http://127.0.0.1../", "http://a.127.1/", "http://169.254.43518/", "http://2852039166./", "http://1.2.3/",
        # Other scripts and encodings
        "http://127。0。0。1/", "http://127．0．0．1/", "http://①②⑦.⓪.⓪.①/", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "http://bücher.example/",
        "http://example。com/", "http://exam\u00adple.com/", "http://٠.0.0.0/", "http://127.0.0.1%2f@example.com/",
        "http://%31%32%37.0.0.1/", "http://example%2ecom/", "http://%6c%6f%63alhost/", "http://127.0.0.1%00.example.com/",
        # Userinfo and separators that parsers read in different ways
        "http://user@example.com/", "http://user:secret@example.com/", "http://example.com@127.0.0.1/", "http://@example.com/",
        "http://example.com\\@127.0.0.1/", "http://127.0.0.1\\@example.com/", "http://127.0.0.1\\.example.com/",
        "http://example.com:80@127.0.0.1/", "http://[::1]@example.com/", "http://a@b@c/", "http://example.com:80:81/",
        "http:\\\\127.0.0.1/", "http:/127.0.0.1/", "http:127.0.0.1", "http:///127.0.0.1/", "//127.0.0.1/", "/x", "",
        "http://", "http://:80/", "http://?x", "http://#x", "http://example.com:/", "http://example.com:port/",
        "http://example.com:0/", "http://example.com:65536/", "http://example.com:٨٠/", "http://example.com:+80/",
        "http://exa mple.com/", "http://example.com /", "http://example.com,127.0.0.1/", "http://127.0.0.1;x/",
        "http://.example.com/", "http://example..com/", "http://.", "http://..", "http://-a.example/", "http://*/",
        # Control characters
        "http://example.com/\r\nhost: internal", "http://exam\tple.com/", "http://127.0.0.1\n/", "\nhttp://example.com/",
        "ht\ttp://example.com/", "http://example.com\x00.internal/", "http://example.com/\x7f", "http://example.com/\ud800",
        # IPv6
        "http://[::1/", "http://::1/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[127.0.0.1]/",
        "http://[::1].example.com/", "http://[v1.x]/", "http://[]/", "http://[1::2::3]/", "http://[::ffff:127.1]/",
        # Other schemes
        "file:///etc/passwd", "ftp://example.com/x", "gopher://example.com/x", "gs://bucket/x", "data:image/png,x",
        "javascript:alert(1)", "unix:///run/x", "httpx://example.com/", "http+unix://example.com/", "jar:http://example.com!/",
        # Size
        "http://example.com/" + "a" * MAX_URL, "http://" + "a" * 64 + ".example/", "http://" + "a." * 127 + "example/",
    ],
)  # fmt: skip
def test_ambiguous_urls_are_rejected(url: str) -> None:
    assert reason(url) == "malformed"
    everything = {"allow_private": ["0.0.0.0/0", "::/0"], "ports": range(1, 65536)}
    assert reason(url, **everything) == "malformed"


@given(st.text(alphabet="htps:/@[]\\?#.%0123456789xabef-_ 。\t\n", max_size=40).map(lambda rest: f"http://{rest}"))
@example("http://a.b:80\\@c/")
def test_accepted_urls_mean_the_same_to_another_parser(url: str) -> None:
    try:
        target = parse_url(url)
    except DownloadRefused:
        return
    host = target.origin.host
    assert re.fullmatch(r"[0-9a-z._:-]+", host)
    assert re.fullmatch(r"/[\x21-\x7e]*", target.path)
    other = urlsplit(url.strip(" ")).hostname
    assert other is not None
    assert ipaddress.ip_address(other) == ipaddress.ip_address(host) if ":" in host else other.rstrip(".") == host
    assert parse_url(f"http://{target.origin.authority}{target.path}") == target


# Names


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "a.localhost", "a.b.LocalHost.", "metadata", "metadata.google.internal",
     "METADATA.google.INTERNAL.", "vm.zone.c.project.internal", "internal", "instance-data"],
)  # fmt: skip
@pytest.mark.parametrize(
    "settings", [{}, {"allow_private": ["0.0.0.0/0", "::/0"]}, {"allow": ["*.internal", "localhost"]}]
)
def test_names_of_loopback_and_metadata_servers_are_blocked_whatever_they_resolve_to(
    host: str, settings: dict[str, object]
) -> None:
    assert reason(f"http://{host}/computeMetadata/v1/", **settings) == "host"


def test_similar_names_are_not_blocked() -> None:
    for host in ("localhost.example.com", "notlocalhost", "metadata.example.com", "internal.example.com", "myinternal"):
        assert reason(f"http://{host}/") == ""


@pytest.mark.parametrize(
    ("host", "allow", "deny", "refused"),
    [
        ("example.com", ["example.com"], [], False),
        ("EXAMPLE.com.", ["Example.Com."], [], False),
        ("a.example.com", ["example.com"], [], True),
        ("a.example.com", ["*.example.com"], [], False),
        ("a.b.example.com", ["*.example.com"], [], False),
        ("example.com", ["*.example.com"], [], True),
        ("evilexample.com", ["*.example.com", "example.com"], [], True),
        ("example.com.evil.org", ["*.example.com", "example.com"], [], True),
        ("other.org", ["example.com"], [], True),
        ("example.com", [], ["example.com"], True),
        ("a.example.com", [], ["example.com"], False),
        ("a.example.com", ["*.example.com"], ["a.example.com"], True),
        ("a.example.com", ["a.example.com"], ["*.example.com"], True),
        ("93.184.215.14", [], ["93.184.215.14"], True),
        ("[2606:4700::1111]", ["[2606:4700:0:0::1111]"], [], False),
        ("[2606:4700::1111]", [], ["2606:4700:0:0::1111"], True),
    ],
)
def test_allow_and_deny_lists(host: str, allow: list[str], deny: list[str], refused: bool) -> None:
    assert reason(f"https://{host}/x", allow=allow, deny=deny) == ("not_allowed" if refused else "")


def test_an_allowed_host_still_needs_a_public_address() -> None:
    assert reason("http://127.0.0.1/", allow=["127.0.0.1"]) == "host"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("allow", "https://example.com"), ("allow", "*"), ("deny", "a.*.com"), ("deny", "example.com/x"), ("allow", ""),
     ("allow_private", "10.0.0.1/8"), ("allow_private", "intranet"), ("deny", "127.1")],
)  # fmt: skip
def test_an_invalid_setting_is_an_error_that_names_it(setting: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"fetch.{setting}: {re.escape(repr(value))}"):
        guard(**{setting: [value]})


@pytest.mark.parametrize("port", [22, 25, 81, 444, 6379, 8080, 9200, 65535])
def test_ports_other_than_80_and_443_are_rejected(port: int) -> None:
    assert reason(f"http://example.com:{port}/") == "port"
    assert reason(f"http://example.com:{port}/", ports=(80, 443, port)) == ""


# Addresses

REFUSED_ALWAYS = [
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.170.2", "169.254.0.1", "168.63.129.16", "100.100.100.200",
    "192.0.0.192", "224.0.0.1", "224.0.0.251", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "fe80::1",
    "fe80::1%2", "ff02::1", "ff0e::1", "fd00:ec2::254", "fd20:ce::254", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
    "64:ff9b::169.254.169.254", "64:ff9b::168.63.129.16", "2002:a9fe:a9fe::1", "2002:a9fe:a9fe::",
]  # fmt: skip
REFUSED = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1",
    "100.127.255.255", "192.0.0.1", "192.0.0.9", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "::1", "::7f00:1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "100::1", "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::",
    "2002:a00:1::1", "2002:c0a8:1::1", "3fff::1", "fc00::1", "fd00::1", "fdff::1", "fec0::1", "5f00::1", "4000::1",
]  # fmt: skip
PUBLIC = [
    "93.184.215.14", "8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1",
    "169.253.1.1", "223.255.255.254", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED_ALWAYS + REFUSED)
@pytest.mark.parametrize("order", [1, -1])
async def test_only_public_addresses_are_permitted(address: str, order: int) -> None:
    assert not guard().permits(ipaddress.ip_address(address))

    async def resolver(host: str, port: int) -> object:
        return address_infos(port, *["93.184.215.14", address][::order])  # a good one beside it does not help

    with pytest.raises(DownloadRefused) as caught:
        await UrlGuard(resolver=resolver).resolve("rebind.example", 80)  # type: ignore[arg-type]
    assert caught.value.reason == "host"
    assert_discloses_nothing(caught.value)
    assert caught.value.detail is not None
    assert address in caught.value.detail


@pytest.mark.parametrize("address", [address for address in REFUSED_ALWAYS + REFUSED if "%" not in address])
def test_a_literal_address_is_checked_first(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    assert reason(f"http://{host}/") == "host"
    assert reason(f"http://{host}:6379/", deny=[address]) == "host"


@pytest.mark.parametrize("address", REFUSED_ALWAYS)
def test_metadata_services_are_blocked_even_if_all_networks_are_allowed(address: str) -> None:
    permissive = guard(allow_private=["0.0.0.0/0", "::/0", "169.254.0.0/16", "fd00::/8", "64:ff9b::/96", "2002::/16"])
    assert not permissive.permits(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
async def test_public_addresses_are_permitted(address: str) -> None:
    assert guard().permits(ipaddress.ip_address(address))
    [row] = await guard().resolve(address, 443)
    assert row[4][:2] == (str(ipaddress.ip_address(address)), 443)


def test_an_allowed_network_does_not_include_its_neighbours() -> None:
    permissive = guard(allow_private=["10.20.0.0/16", "fd12::/16"])
    for address in ("10.20.0.1", "::ffff:10.20.0.1", "fd12::1", "8.8.8.8"):
        assert permissive.permits(ipaddress.ip_address(address)), address
    for address in ("10.21.0.1", "127.0.0.1", "fd13::1", "64:ff9b::10.20.0.1", "2002:a14:1::", "169.254.169.254"):
        assert not permissive.permits(ipaddress.ip_address(address)), address


@given(st.integers(0, 2**32 - 1))
def test_embedded_ipv4_addresses_are_checked(number: int) -> None:
    plain = ipaddress.IPv4Address(number)
    judged = guard().permits(plain)
    for carrier in (f"::ffff:{plain}", f"64:ff9b::{plain}", f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1"):
        assert guard().permits(ipaddress.ip_address(carrier)) == judged, carrier
    assert not guard().permits(ipaddress.ip_address(f"::{plain}"))


@pytest.mark.parametrize("failure", [OSError("no such name"), UnicodeError("label too long")])
async def test_an_unresolvable_name(failure: Exception) -> None:
    async def resolver(host: str, port: int) -> object:
        raise failure

    async def empty(host: str, port: int) -> object:
        return []

    for one in (resolver, empty):
        with pytest.raises(DownloadRefused) as caught:
            await UrlGuard(resolver=one).resolve("nowhere.example", 80)  # type: ignore[arg-type]
        assert caught.value.reason == "unresolved"
        assert_discloses_nothing(caught.value)


async def test_an_unknown_address_family_is_rejected() -> None:
    async def resolver(host: str, port: int) -> object:
        return [(10, 1, 6, "", (1, b"x"))]

    with pytest.raises(DownloadRefused) as caught:
        await UrlGuard(resolver=resolver).resolve("odd.example", 80)  # type: ignore[arg-type]
    assert caught.value.reason == "host"


# Redirects


@pytest.mark.parametrize(
    ("location", "origin", "path"),
    [
        ("/b", "https://example.com", "/b"),
        ("b?x=1", "https://example.com", "/dir/b?x=1"),
        ("../b", "https://example.com", "/b"),
        ("?x=1", "https://example.com", "/dir/a?x=1"),
        ("//other.example/b", "https://other.example", "/b"),
        ("https://other.example:444/b#c", "https://other.example:444", "/b"),
        ("/bild ü.png", "https://example.com", "/bild%20%C3%BC.png"),
        ("/\\127.0.0.1/x", "https://example.com", "/%5C127.0.0.1/x"),
    ],
)
def test_the_target_of_a_redirect(location: str, origin: str, path: str) -> None:
    target = parse_url("https://example.com/dir/a").redirected(location)
    assert f"{target.origin.scheme}://{target.origin.authority}" == origin
    assert target.path == path


@pytest.mark.parametrize(
    "location",
    ["ftp://example.com/x", "file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "javascript:1", "data:image/png,x",
     "https://user@example.com/", "https://2130706433/", "\thttps://example.com", "https://exam\tple.com/",
     "https://example.com\\@127.0.0.1/", "//127.1/x", "https://[::1/", "https://127。0。0。1/"],
)  # fmt: skip
def test_a_redirect_is_parsed_as_strictly(location: str) -> None:
    with pytest.raises(DownloadRefused) as caught:
        parse_url("https://example.com/a").redirected(location)
    assert caught.value.reason == "malformed"
    assert caught.value.message == "The URL redirects to a malformed URL."
    assert_discloses_nothing(caught.value)


def test_a_redirect_cannot_downgrade_to_http() -> None:
    with pytest.raises(DownloadRefused) as caught:
        parse_url("https://example.com/a").redirected("http://example.com/a")
    assert caught.value.reason == "downgrade"
    assert parse_url("http://example.com/a").redirected("https://example.com/a").origin.scheme == "https"
