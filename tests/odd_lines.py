"""Ordinary, odd and broken messages from a seed, for the tests of the decoder."""

import json
import random

VALUES: dict[str, list[str]] = {
    "time": [
        '"2026-11-23T05:00:00.123Z"', '"2026-11-23T05:00:00Z"', '"2024-02-29 23:59:60.999999999+05:30"', "1763874000",
        '"2025-02-29T00:00:00Z"', '"2026-11-23T05:00:00"', "1763874000123", "1763874000123456", "1763874000123456789",
        "1763874000.1234567", "1763874000123.4567", "1.763874e9", '"1763874000"', "946684799", "946684800", "null",
        "4133980799.9", "4133980800", '"2026-11-23t05:00:00.5z"', '"2026-11-23T24:00:00Z"', '"2026-13-23T05:00:00Z"',
        '"2000-01-01T00:00:00+00:01"', '"1999-12-31T23:59:00-00:01"', "-1", "1e999", '"x"', '""', "true", "[1]", "{}",
        '"2026-11-23T05:00:00.Z"', '"2026-11-23T05:00:00+0100"', '"2026-11-23T05:00:0\\u0030Z"', "99999999999999999999",
        '"1900-02-29T00:00:00Z"', '"2026-04-31T00:00:00Z"', '"2100-12-31T23:59:59.9999999Z"', "1e400000000",
    ],
    "received": ['"2026-11-23T05:00:00.300Z"', '"-"', "1763874000", '"2026-11-23T04:58:00Z"', "null", '""', "false"],
    "id": ['"evt-1"', '"e\\n2"', "7", '""', "null"],
    "tenant": ['"acme"', '"globex"', '"acm\\u0065"', '"' + "t" * 65 + '"', '"\u00fc' + "\u00fc" * 40 + '"', "5", '""'],
    "action": ['"login"', '"account_delete"', '"password_reset_request"', '"api_call"', '"role_change"', '"what"', "3",
               '"token_refresh"', '"mfa_challenge"', '"log\\u0069n"', "null", '""', '"api_key_change"'],
    "outcome": ['"success"', '"failure"', '"blocked"', '"challenge"', '"unknown"', '"denied"', '""', "null", "0"],
    "reason": ['"bad_credentials"', '"other"', '"none of these"', '""', "null", "1", '"server_error"'],
    "user": ['"u-17"', '"u\\u002d17"', '""', "17", '"' + "u" * 300 + '"', '"\\ud83d\\ude00"', '"a\\ud800b"', "null",
             '"' + "\u00e9" * 90 + '"', '"nul\\u0000"', '"' + "x" * 20000 + '"'],
    "username": ['"Sam@Example.com"', '"\uff33\uff41\uff4d"', '"\u00c4nne"', '"sam"', "null", '"' + "N" * 1025 + '"',
                 '"' + "n" * 600 + '"', '"\\udc00"', "{}", '"\u0130x"'],
    "actor": ['"u-17"', '"admin-1"', '""', "null", "false"],
    "target": ['"u-99"', '""', "null", "99", '"\\/t"'],
    "ip": ['"203.0.113.7"', '"203.0.113.7:443"', '"-"', '"2001:db8:0:1::7"', '"[2001:DB8::1]:80"', '"::ffff:10.0.0.1"',
           '"[::ffff:192.0.2.1]"', '"256.1.1.1"', '"01.2.3.4"', '"1.2.3"', '"::"', '"fe80::1%eth0"', '"1.2.3.4:70000"',
           '"2001:db8::1:0:0:1"', '"1:2:3:4:5:6:7:8"', '"1:2:3:4:5:6:7:8:9"', '"::1.2.3.4"', '"1::2::3"', "null", '""',
           '"1:2:3:4:5:6:7::"', '"12345::"', '"1.2.3.4 "', "16909060", '"[1.2.3.4]"', '"::ffff:0:1.2.3.4"', '"1:"'],
    "endpoint": ['"/identity/v2/auth/login"', '"/users/8f3a1c22-00aa/x"', '"/users/123?x=1#y"', '"/a/auth0|5f7c"',
                 '"?q"',
                 '"/u/sam@example.com/"', '"/u/sam%40example.com"', '"/oauth2-authorize-endpoint/v2"', '"\\/login"',
                 '"/t/abcdefghijklmnop1q"', '"/k/u-17/key_3/deadbeef/deadbee5"', '"' + "/seg" * 60 + '"', '""', "null",
                 '"/' + "s" * 65 + '"', '"/\u00fcber/\u4e2d\u6587"', '"login"', '"/' + "1/" * 3000 + '"', "8",
                 '"/a%7Cb//c"'],
    "status": ["200", "401", "429", '"401"', "503", "0", "99", "1000", "401.0", "4.01e2", '"abc"', "null", '""', "-200",
               '"403.0"', "200.5", "1e999"],
    "user_agent": ['"Mozilla/5.0"', "5", '"a\\"b"', '"\\ud83d\\ude00"', '"\\ud83d"', '"' + "m" * 17000 + '"', "[]"],
    "city": ['"Z\u00fcrich"', '"\U0001f600"', '"\\t"', "null", "true"],
    "lat": ["52.37", "-1e1", '"52.37"', '"x"', "1e999", "1" * 40, "1" * 70, "null", "NaN"],
    "asn": ["64511", '"64511"', '"AS1"', '""'],
    "latency_ms": ["12.5", "1e999", "-0", "0.0", '"1e3"'],
    "changes": ['[{"path":"email","old":"a@x","new":"b@x"}]', "[]", "{}", "5", '["\\udfff"]', "null"],
    "error_code": ['"966"', "966"],
    "extra": ["1", '{"a":[1,2,{"b":null}],"c":"\\u00e9"}', "[[[[]]]]", "true", "false", '"\\ud801"', "1E+5", '"\\/"',
              "[" * 31 + "]" * 31, "[" * 32 + "]" * 32, '{"lapwing":1}', "[1, 2 , 3]", '{"time":1}'],
    "lapwing": ["1", "null"],
}  # fmt: skip
SPACES = ["", "", "", "", " ", "\t", "\n", "\r\n", "  "]
GARBAGE = [b"\x00", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b'"', b"\\", b"{", b"}", b"[", b",", b":", b"1", b"e", b"\n"]


def ordinary(random_: random.Random) -> dict[str, object]:
    """An event with nothing odd in it."""
    event: dict[str, object] = {
        "time": f"2026-11-23T05:{random_.randrange(60):02}:{random_.randrange(60):02}.{random_.randrange(1000):03}Z",
        "id": f"evt-{random_.randrange(10**6)}",
        "tenant": random_.choice(["acme", "globex"]),
        "action": random_.choice(["login", "token_refresh", "api_call", "account_delete"]),
        "outcome": random_.choice(["success", "failure"]),
        "user": f"u-{random_.randrange(1000)}",
        "ip": f"203.0.113.{random_.randrange(256)}",
        "city": random_.choice(["Amsterdam", "Z\u00fcrich"]),
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
        "endpoint": f"/identity/v2/users/{random_.randrange(10**6)}",
        "status": random_.choice([200, 401]),
        "latency_ms": 12.5,
    }
    return event


def odd(random_: random.Random) -> bytes:
    """An event of members whose values may each be odd, in any order, perhaps twice."""
    names = random_.sample(sorted(VALUES), random_.randrange(1, 12))
    if random_.random() < 0.9 and "time" not in names:
        names.append("time")
    if random_.random() < 0.8:
        names = [name for name in names if name != "lapwing"]
    if names and random_.random() < 0.1:
        names.append(random_.choice(names))
    parts = []
    for name in names:
        value = random_.choice(VALUES[name][: random_.choice([1, 2, 3, 99])])
        key = name if random_.random() < 0.98 else f"\\u{ord(name[0]):04x}{name[1:]}"
        a, b, c, d = (random_.choice(SPACES) for _ in range(4))
        parts.append(f'{a}"{key}"{b}:{c}{value}{d}')
    before = random_.choice(["", "", "", "", " ", "\ufeff", "\ufeff "])
    return (before + "{" + ",".join(parts) + "}" + random_.choice(SPACES)).encode()


def mutated(random_: random.Random, line: bytes) -> bytes:
    """A line with one to three bytes changed, put in, taken out, cut off or doubled."""
    for _ in range(random_.randrange(1, 4)):
        at = random_.randrange(len(line) + 1)
        kind = random_.randrange(6)
        if kind == 0:
            line = line[:at] + bytes([random_.randrange(256)]) + line[at + 1 :]
        elif kind == 1:
            line = line[:at] + random_.choice(GARBAGE) + line[at:]
        elif kind == 2:
            line = line[:at] + line[at + random_.randrange(1, 5) :]
        elif kind == 3:
            line = line[:at]
        elif kind == 4:
            line = line[:at] + line
        else:
            end = at + random_.randrange(20)
            line = line[:end] + line[at:end] + line[end:]
    return line


def lines(seed: int, count: int) -> list[bytes]:
    """Messages of every sort."""
    random_ = random.Random(seed)
    made = []
    for _ in range(count):
        sort = random_.random()
        line = json.dumps(ordinary(random_), ensure_ascii=False).encode() if sort < 0.4 else odd(random_)
        made.append(mutated(random_, line) if sort > 0.7 or sort < 0.2 else line)
    return made
