"""URLs with a secret in them, many of them malformed."""

from __future__ import annotations

from hypothesis import strategies as st

HOST = "db.example.org"
WORDS = ("Kangaroo", "Wombat", "Quokka")
"""What secrets are made of, and what stands in nothing else."""

FORMS = [
    "redis://:{}@" + HOST,
    "redis://ann:{}@" + HOST + ":6380/1",
    "rediss://ann:{}@" + HOST + ":6380/1?protocol=3",
    "redis://{}@" + HOST,
    "redis://{}:{}@" + HOST + "/0",
    "redis://" + HOST + ":{}",
    "redis://" + HOST + ":6379:{}",
    "redis://" + HOST + "?password={}",
    "redis://" + HOST + "/1?password={}&username={}",
    "redis://" + HOST + "?auth={}",
    "redis://" + HOST + "?Password={}",
    "redis://" + HOST + "?password={}&socket_timeout={}",
    "redis://" + HOST + "?ssl_cert_reqs={}",
    "redis://" + HOST + ":6379 -a {}",
    "redis-cli -h " + HOST + " -a {}",
    "redis-cli -u redis://:{}@" + HOST,
    "redis://" + HOST + "/0#{}",
    "redis:/:{}@" + HOST,
    "redis:ann:{}@" + HOST,
    "//:{}@" + HOST,
    ":{}@" + HOST + ":6379",
    "{}@" + HOST,
    "http://ann:{}@" + HOST,
    "redis ://ann:{}@" + HOST,
    "unix://:{}@/tmp/redis.sock?db=1",
    "unix:///tmp/redis.sock?password={}",
    "redis+cluster://ann:{}@" + HOST + ":1,b:2",
    "redis+cluster://ann:{}@" + HOST + ":1,ann:{}@b:2",
    "rediss+sentinel://ann:{}@" + HOST + ":1,b:2/main/1",
    "redis+sentinel://" + HOST + ":1,b:2/main/1?password={}",
    "memory://:{}@" + HOST,
]

secrets = st.lists(
    st.sampled_from([*WORDS, *"@/?#:&=%[], \n\t\\'\"+é", "%40", "%ZZ", "\ud800", "12"]), max_size=6
).map("".join)

urls = st.tuples(
    st.sampled_from(FORMS),
    st.tuples(secrets, st.sampled_from(WORDS), secrets).map("".join),
    st.sampled_from(["", "\n", " ", "\r\n"]),
)
"""A form, a secret, and what stands at the end."""


def make_url(form: str, secret: str, end: str = "") -> str:
    """Put a secret into a URL."""
    if HOST in form.partition("{")[0]:
        secret = secret.replace("@", "")  # else what follows it is a host like any other
    return form.replace("{}", secret) + end
