"""What tenants could write to make us call what they must not reach, as data.

`{port}` is the decoy's: it listens on every local address, IPv4 and IPv6. `unsaved`: the rules for URLs refuse it before any
address is known. Sources: RFC 3986 §7.4 (rare IP address formats), the WHATWG URL standard's IPv4 parser, RFC 6890 and the
documents that `delivery.addresses` names, and the clouds' own pages on their metadata services.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """`why`: what is dangerous about it."""

    name: str
    url: str
    why: str
    unsaved: bool = False

    def at(self, port: int) -> str:
        return self.url.replace("{port}", str(port))


def _cases(why: str, *pairs: tuple[str, str], unsaved: bool = False) -> tuple[Case, ...]:
    return tuple(Case(name, url, why, unsaved) for name, url in pairs)


LOOPBACK = _cases(
    "loopback: our own services, and whatever else runs on the machine",
    ("loopback", "http://127.0.0.1:{port}/"),
    ("loopback over tls", "https://127.0.0.1:{port}/"),
    ("another loopback address", "http://127.8.9.10:{port}/"),
    ("last loopback address", "http://127.255.255.254:{port}/"),
    ("localhost", "http://localhost:{port}/"),
    ("localhost in capitals", "http://LOCALHOST:{port}/"),
    ("localhost, mixed", "http://LocalHost:{port}/"),
    ("localhost with a dot", "http://localhost.:{port}/"),
    ("a name below localhost", "http://hooks.localhost:{port}/"),
    ("loopback v6", "http://[::1]:{port}/"),
    ("loopback v6, long", "http://[0:0:0:0:0:0:0:1]:{port}/"),
    ("loopback v6, zeros", "http://[0000:0000:0000:0000:0000:0000:0000:0001]:{port}/"),
    ("port written with zeros", "http://127.0.0.1:0000{port}/"),
    ("no path", "http://127.0.0.1:{port}"),
    ("query for a path", "http://127.0.0.1:{port}?a=https://hooks.example.com/"),
    ("fragment that looks like a host", "http://127.0.0.1:{port}/#@hooks.example.com/"),
    ("path that looks like another host", "http://127.0.0.1:{port}/@hooks.example.com/"),
    ("path that goes up", "http://127.0.0.1:{port}/../../admin"),
)

WRITTEN_OTHERWISE = _cases(
    "loopback in a form that inet_aton takes and a search for '127.' does not see",
    ("decimal", "http://2130706433:{port}/"),
    ("hexadecimal", "http://0x7f000001:{port}/"),
    ("hexadecimal in capitals", "http://0X7F000001:{port}/"),
    ("hexadecimal parts", "http://0x7f.0x0.0x0.0x1:{port}/"),
    ("octal", "http://017700000001:{port}/"),
    ("octal parts", "http://0177.0.0.01:{port}/"),
    ("octal, many zeros", "http://0000177.0000.0000.0001:{port}/"),
    ("two parts", "http://127.1:{port}/"),
    ("three parts", "http://127.0.1:{port}/"),
    ("mixed bases", "http://0x7f.0.0.01:{port}/"),
    ("mixed, two parts", "http://0x7f.1:{port}/"),
    ("dot behind the address", "http://127.0.0.1.:{port}/"),
    ("dot behind the decimal", "http://2130706433.:{port}/"),
    ("escaped digits", "http://%31%32%37.0.0.1:{port}/"),
    ("escaped dots", "http://127%2e0%2e0%2e1:{port}/"),
    ("escaped localhost", "http://%6c%6f%63%61%6c%68%6f%73%74:{port}/"),
    ("decimal of the metadata service", "http://2852039166/latest/meta-data/"),
    ("hexadecimal of the metadata service", "http://0xa9fea9fe/latest/meta-data/"),
    ("octal of the metadata service", "http://0251.0376.0251.0376/latest/meta-data/"),
    ("scheme in capitals", "HTTP://127.0.0.1:{port}/"),
)

SPECIAL_V4 = _cases(
    "an address that is no public host, or that stands for this one",
    ("zero", "http://0.0.0.0:{port}/"),
    ("zero, short", "http://0:{port}/"),
    ("zero, hexadecimal", "http://0x0:{port}/"),
    ("this network", "http://0.1.2.3:{port}/"),
    ("private 10", "http://10.0.0.1:{port}/"),
    ("private 172", "http://172.16.0.1:{port}/"),
    ("private 172, last", "http://172.31.255.254:{port}/"),
    ("private 192", "http://192.168.0.1:{port}/"),
    ("carrier-grade nat", "http://100.64.0.1:{port}/"),
    ("benchmarking", "http://198.18.0.1:{port}/"),
    ("documentation", "http://192.0.2.1:{port}/"),
    ("protocol assignments", "http://192.0.0.192/"),
    ("6to4 relay", "http://192.88.99.1:{port}/"),
    ("multicast", "http://224.0.0.1:{port}/"),
    ("multicast, ssdp", "http://239.255.255.250:1900/"),
    ("reserved", "http://240.0.0.1:{port}/"),
    ("broadcast", "http://255.255.255.255:{port}/"),
)

METADATA = _cases(
    "a cloud's metadata service, which hands out the machine's credentials",
    ("aws, azure, gcp", "http://169.254.169.254/latest/meta-data/iam/security-credentials/"),
    ("aws containers", "http://169.254.170.2/v2/credentials"),
    ("aws v6", "http://[fd00:ec2::254]/latest/meta-data/"),
    ("alibaba", "http://100.100.100.200/latest/meta-data/"),
    ("oracle", "http://192.0.0.192/latest/"),
    ("mapped into v6", "http://[::ffff:169.254.169.254]/"),
    ("behind nat64", "http://[64:ff9b::169.254.169.254]/"),
    ("tls", "https://169.254.169.254/"),
)

V6 = _cases(
    "an IPv4 address inside an IPv6 one, or an IPv6 address that is no public host",
    ("mapped loopback", "http://[::ffff:127.0.0.1]:{port}/"),
    ("mapped loopback, hexadecimal", "http://[::ffff:7f00:1]:{port}/"),
    ("mapped loopback, long", "http://[0:0:0:0:0:ffff:7f00:0001]:{port}/"),
    ("mapped zero", "http://[::ffff:0.0.0.0]:{port}/"),
    ("mapped private", "http://[::ffff:10.0.0.1]:{port}/"),
    ("compatible loopback", "http://[::127.0.0.1]:{port}/"),
    ("translated loopback", "http://[::ffff:0:127.0.0.1]:{port}/"),
    ("unspecified", "http://[::]:{port}/"),
    ("nat64 loopback", "http://[64:ff9b::7f00:1]:{port}/"),
    ("nat64 private", "http://[64:ff9b::10.0.0.1]:{port}/"),
    ("nat64, local use", "http://[64:ff9b:1::127.0.0.1]:{port}/"),
    ("6to4 loopback", "http://[2002:7f00:1::]:{port}/"),
    ("6to4 metadata", "http://[2002:a9fe:a9fe::1]:{port}/"),
    ("teredo", "http://[2001:0:7f00:1::1]:{port}/"),
    ("isatap below link-local", "http://[fe80::5efe:127.0.0.1]:{port}/"),
    ("unique local", "http://[fd12:3456:789a::1]:{port}/"),
    ("link-local", "http://[fe80::1]:{port}/"),
    ("link-local with a zone", "http://[fe80::1%25lo]:{port}/"),
    ("loopback with a zone", "http://[::1%25lo]:{port}/"),
    ("site-local", "http://[fec0::1]:{port}/"),
    ("multicast", "http://[ff02::1]:{port}/"),
    ("documentation", "http://[2001:db8::1]:{port}/"),
    ("discard-only", "http://[100::1]:{port}/"),
)

ODD_PORTS = _cases(
    "another protocol's port on the machine, which may take a line of HTTP for a command",
    ("redis", "http://127.0.0.1:6379/"),
    ("smtp", "http://127.0.0.1:25/"),
    ("postgresql", "http://localhost:5432/"),
    ("kafka", "http://[::1]:9092/"),
    ("docker", "http://127.0.0.1:2375/containers/create"),
    ("kubelet", "https://127.0.0.1:10250/run/"),
    ("port zero", "http://127.0.0.1:0/"),
)

PARSERS_DISAGREE = _cases(
    "two readers of the URL may find two hosts in it, one to check and one to call",
    ("user that looks like a host", "http://hooks.example.com@127.0.0.1:{port}/"),
    ("user and password", "http://hooks.example.com:443@127.0.0.1:{port}/"),
    ("two at signs", "http://a@hooks.example.com@127.0.0.1:{port}/"),
    ("escaped at sign before the host", "http://hooks.example.com%40x@127.0.0.1:{port}/"),
    ("empty user", "http://@127.0.0.1:{port}/"),
    ("backslash before the at sign", "http://hooks.example.com\\@127.0.0.1:{port}/"),
    ("backslash for the path", "http://127.0.0.1:{port}\\@hooks.example.com/"),
    ("backslashes for slashes", "http:\\\\127.0.0.1:{port}/"),
    ("space in the host", "http://127.0.0.1 hooks.example.com:{port}/"),
    ("tab in the host", "http://127.0.0.1\t:{port}/"),
    ("line break in the host", "http://127.0.0.1:{port}\r\n/hooks"),
    ("line break that adds a header", "http://127.0.0.1:{port}/ HTTP/1.1\r\nX-Evil: 1"),
    ("nul", "http://127.0.0.1\0.example.com:{port}/"),
    ("port that is none", "http://127.0.0.1:{port}@80/"),
    ("port too high", "http://127.0.0.1:99999/"),
    ("port below zero", "http://127.0.0.1:-1/"),
    ("no host", "http:///127.0.0.1:{port}/"),
    ("no slashes", "http:127.0.0.1:{port}/"),
    ("scheme-relative", "//127.0.0.1:{port}/"),
    ("bracket left open", "http://[::1:{port}/"),
    unsaved=True,
)

UNICODE = _cases(
    "letters that become digits, dots or ASCII when the name is normalised (UTS #46)",
    ("fullwidth digits", "http://１２７.０.０.１:{port}/"),
    ("circled digits", "http://①②⑦.⓪.⓪.①:{port}/"),
    ("superscript digits", "http://¹²⁷.⁰.⁰.¹:{port}/"),
    ("ideographic full stops", "http://127。0。0。1:{port}/"),
    ("halfwidth full stops", "http://127｡0｡0｡1:{port}/"),
    ("circled localhost", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/"),
    ("fullwidth localhost", "http://ｌｏｃａｌｈｏｓｔ:{port}/"),
    ("soft hyphen", "http://local\u00adhost:{port}/"),
    ("zero-width joiner", "http://local\u200dhost:{port}/"),
    ("long s", "http://localhoſt:{port}/"),
    ("fullwidth slash", "http://127.0.0.1:{port}／@hooks.example.com/"),
    ("fullwidth at sign", "http://hooks.example.com＠127.0.0.1:{port}/"),
    ("arabic digits", "http://١٢٧.٠.٠.١:{port}/"),
    unsaved=True,
)

OTHER_SCHEMES = _cases(
    "a scheme that reads files, or speaks another protocol in our name",
    ("file", "file:///etc/passwd"),
    ("gopher", "gopher://127.0.0.1:{port}/_SET%20a%20b"),
    ("dict", "dict://127.0.0.1:{port}/info"),
    ("ftp", "ftp://127.0.0.1:{port}/"),
    ("ldap", "ldap://127.0.0.1:{port}/"),
    ("smb", "smb://127.0.0.1:{port}/share"),
    ("telnet", "telnet://127.0.0.1:{port}/"),
    ("javascript", "javascript:alert(1)"),
    ("data", "data:text/plain,x"),
    ("unix socket", "unix:///var/run/docker.sock"),
    ("websocket", "ws://127.0.0.1:{port}/"),
    unsaved=True,
)

URLS = (
    *LOOPBACK,
    *WRITTEN_OTHERWISE,
    *SPECIAL_V4,
    *METADATA,
    *V6,
    *ODD_PORTS,
    *PARSERS_DISAGREE,
    *UNICODE,
    *OTHER_SCHEMES,
)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a tenant's own name server says, one list a look-up. `why`: what is dangerous about it."""

    name: str
    host: str
    rounds: tuple[tuple[str, ...], ...]
    why: str


PUBLIC, PUBLIC_V6 = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

NAMES = tuple(
    Answers(name, host, rounds, "a name is nobody's promise: its owner says where it leads, anew at each look-up")
    for name, host, rounds in (
        ("name of loopback", "loop.evil.test", (("127.0.0.1",),)),
        ("name of loopback v6", "loop6.evil.test", (("::1",),)),
        ("name of the metadata service", "metadata.google.internal", (("169.254.169.254",),)),
        ("name that looks like an address", "127.0.0.1.nip.test", (("127.0.0.1",),)),
        ("name that looks public", "www.example.com.evil.test", (("10.0.0.1",),)),
        ("name of zero", "zero.evil.test", (("0.0.0.0",),)),
        ("name of a mapped address", "mapped.evil.test", (("::ffff:127.0.0.1",),)),
        ("name behind nat64", "nat64.evil.test", (("64:ff9b::7f00:1",),)),
        ("name of a private network", "intranet.evil.test", (("192.168.1.10",),)),
        ("punycode name", "xn--80ak6aa92e.test", (("127.0.0.1",),)),
        ("several forbidden addresses", "many.evil.test", (("127.0.0.1", "::1", "10.0.0.1"),)),
        ("public first, loopback second", "rebind.evil.test", ((PUBLIC,), ("127.0.0.1",))),
        ("public v6 first, loopback v6 second", "rebind6.evil.test", ((PUBLIC_V6,), ("::1",))),
        ("public twice, metadata third", "slow.evil.test", ((PUBLIC,), (PUBLIC,), ("169.254.169.254",))),
        ("loopback beside a public one", "both.evil.test", ((PUBLIC, "127.0.0.1"),)),
        ("loopback before a public one", "before.evil.test", (("127.0.0.1", PUBLIC),)),
        ("loopback v6 beside a public one", "both6.evil.test", ((PUBLIC, "::1"),)),
    )
)

# Where a receiver that is allowed may want to send us; `{port}` is the decoy's.
REDIRECTS = (
    "http://127.0.0.1:{port}/",
    "http://[::1]:{port}/",
    "http://localhost:{port}/",
    "http://2130706433:{port}/",
    "//127.0.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://user@127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "http:\\\\127.0.0.1:{port}/",
)
REDIRECT_STATUSES = (301, 302, 303, 307, 308)

# Of brokers; a name of these is looked up by Python, an address read by inet_aton.
BROKER_HOSTS = (
    "127.0.0.1",
    "127.8.9.10",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1%25lo]",
    "[::]",
    "0.0.0.0",
    "0",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "255.255.255.255",
    "user:pass@127.0.0.1",
    "hooks.example.com@127.0.0.1",
    "hooks.example.com%40127.0.0.1",
    "%31%32%37.0.0.1",
)
