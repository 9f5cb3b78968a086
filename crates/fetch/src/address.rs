//! How near an address is: what a document may name depends on it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// How near an address is to this machine, farthest first. A document may name what is no nearer than itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Space {
    /// The public internet.
    Public,
    /// Somebody's network, and all else that is not of the public internet.
    Private,
    /// The link (RFC 3927, RFC 4291): routers do not pass it on, and clouds keep their secrets there.
    Link,
    /// This machine.
    Machine,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Private => "a private or reserved address",
            Self::Link => "an address of the local link",
            Self::Machine => "an address of this machine",
        })
    }
}

impl Space {
    /// The space of an address, by IANA's registries: IPv4 and IPv6 Special-Purpose Address Space (RFC 6890 and
    /// its updates), Multicast Address Space, and IPv6 Address Space. An IPv6 address that stands for an IPv4 one
    /// counts as that.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => of_v4(v4),
            IpAddr::V6(v6) => of_v6(v6),
        }
    }

    /// The space that a URL tells by itself: that of its address, where its host is one, or of this machine, where
    /// its host is a name for that (RFC 6761, 6.3). `None` where name resolution has to say.
    pub(crate) fn of_host(url: &Url) -> Option<Self> {
        match url.host()? {
            Host::Ipv4(v4) => Some(of_v4(v4)),
            Host::Ipv6(v6) => Some(of_v6(v6)),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                (name == "localhost" || name.ends_with(".localhost")).then_some(Self::Machine)
            }
        }
    }
}

fn of_v4(v4: Ipv4Addr) -> Space {
    match v4.octets() {
        // "This host on this network" is this machine to most systems (RFC 1122, 3.2.1.3).
        [0 | 127, ..] => Space::Machine,
        [169, 254, ..] => Space::Link,
        // Private use (RFC 1918) and shared (RFC 6598).
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Space::Private,
        // Protocol assignments (RFC 6890), documentation (RFC 5737), the relay anycast of 6to4 (RFC 7526),
        // benchmarking (RFC 2544), multicast (RFC 5771), reserved and broadcast (RFC 1112, RFC 919).
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [224..=255, ..] => {
            Space::Private
        }
        _ => Space::Public,
    }
}

fn of_v6(v6: Ipv6Addr) -> Space {
    let segments = v6.segments();
    if v6.is_unspecified() || v6.is_loopback() {
        return Space::Machine;
    }
    if let Some(v4) = embedded_v4(segments) {
        return of_v4(v4);
    }
    match segments {
        // Link-local (RFC 4291, 2.5.6).
        [0xfe80..=0xfebf, ..] => Space::Link,
        // Protocol assignments with Teredo, ORCHID and benchmarking (RFC 2928), documentation (RFC 3849, RFC 9637).
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Space::Private,
        // Global unicast is what is here (RFC 4291, 2.4; IANA allocates from 2000::/3 alone).
        [0x2000..=0x3fff, ..] => Space::Public,
        // Unique local, site-local, multicast, discard-only, segment routing, local-use NAT64, and what nobody has yet.
        _ => Space::Private,
    }
}

/// The IPv4 address that an IPv6 one stands for.
fn embedded_v4(segments: [u16; 8]) -> Option<Ipv4Addr> {
    let (high, low) = match segments {
        // Mapped and compatible (RFC 4291, 2.5.5), translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => (high, low),
        // ISATAP (RFC 5214, 6.1).
        [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, high, low] => (high, low),
        _ => return None,
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The rows of IANA's IPv4 and IPv6 Special-Purpose Address Registries (first and last address of each block
    // that is not globally reachable), the multicast registries, and the forms that carry an IPv4 address.
    #[test]
    fn addresses_are_as_near_as_the_registries_say() {
        let rows: [(Space, &[&str]); 4] = [
            (
                Space::Machine,
                &[
                    "0.0.0.0",
                    "0.255.255.255",
                    "127.0.0.1",
                    "127.255.255.254",
                    "::1",
                    "::",
                    "::ffff:127.0.0.1",
                    "::ffff:0.0.0.0",
                    "::127.0.0.1",
                    "::ffff:0:127.0.0.1",
                    "64:ff9b::127.0.0.1",
                    "2002:7f00:1::",
                    "2002:7f00:1::1",
                    "2001:4860::5efe:127.0.0.1",
                    "2001:4860::200:5efe:127.0.0.1",
                ],
            ),
            (
                Space::Link,
                &[
                    "169.254.0.0",
                    "169.254.169.254",
                    "169.254.255.255",
                    "fe80::",
                    "fe80::1",
                    "febf:ffff::1",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                    "2002:a9fe:a9fe::1",
                ],
            ),
            (
                Space::Private,
                &[
                    "10.0.0.0",
                    "10.255.255.255",
                    "172.16.0.0",
                    "172.31.255.255",
                    "192.168.0.0",
                    "192.168.255.255",
                    "100.64.0.0",
                    "100.127.255.255",
                    "192.0.0.0",
                    "192.0.0.8",
                    "192.0.0.170",
                    "192.0.0.255",
                    "192.0.2.1",
                    "198.51.100.1",
                    "203.0.113.255",
                    "192.88.99.1",
                    "198.18.0.0",
                    "198.19.255.255",
                    "224.0.0.1",
                    "239.255.255.255",
                    "240.0.0.0",
                    "255.255.255.255",
                    "64:ff9b:1::",
                    "64:ff9b:1:ffff::8.8.8.8",
                    "64:ff9b::1:808:808",
                    "100::1",
                    "100:0:0:1::1",
                    "2001::1",
                    "2001:0:1::8.8.8.8",
                    "2001:1::1",
                    "2001:2::1",
                    "2001:10::1",
                    "2001:20::1",
                    "2001:db8::",
                    "2001:db8:ffff::1",
                    "2001:1ff::1",
                    "3fff::1",
                    "3fff:fff::1",
                    "5f00::1",
                    "fc00::1",
                    "fdff::1",
                    "fec0::1",
                    "feff::1",
                    "ff02::1",
                    "ff0e::1",
                    "4000::1",
                    "1fff::1",
                    "::ffff:10.0.0.1",
                    "::10.0.0.1",
                    "2002:c0a8:101::1",
                    "64:ff9b::192.168.1.1",
                    "2002:e000:1::",
                ],
            ),
            (
                Space::Public,
                &[
                    "1.1.1.1",
                    "8.8.8.8",
                    "9.255.255.255",
                    "11.0.0.0",
                    "100.63.255.255",
                    "100.128.0.0",
                    "126.255.255.255",
                    "128.0.0.0",
                    "169.253.255.255",
                    "169.255.0.0",
                    "172.15.255.255",
                    "172.32.0.0",
                    "192.0.1.0",
                    "192.0.3.0",
                    "192.31.196.1",
                    "192.52.193.1",
                    "192.167.255.255",
                    "192.169.0.0",
                    "192.175.48.1",
                    "198.17.255.255",
                    "198.20.0.0",
                    "223.255.255.255",
                    "2606:4700::1111",
                    "2001:200::1",
                    "2001:4860:4860::8888",
                    "2620:4f:8000::1",
                    "3ffe::1",
                    "3fff:1000::1",
                    "::ffff:8.8.8.8",
                    "64:ff9b::8.8.8.8",
                    "2002:808:808::1",
                ],
            ),
        ];
        for (space, addresses) in rows {
            for text in addresses {
                assert_eq!(Space::of(text.parse().unwrap()), space, "{text}");
            }
        }
    }

    #[test]
    fn an_address_in_a_url_is_found_however_it_is_written() {
        let rows: [(Option<Space>, &[&str]); 4] = [
            (
                Some(Space::Machine),
                &[
                    "http://127.0.0.1/",
                    "http://127.1/",
                    "http://127.0.1/",
                    "http://2130706433/",
                    "http://0x7f.1/",
                    "http://0x7f000001/",
                    "http://0177.0.0.1/",
                    "http://0177.1/",
                    "http://017700000001/",
                    "http://0x7f.0x0.0x0.0x1/",
                    "http://127.0.0.1./",
                    "http://0/",
                    "http://0x0/",
                    "http://[::1]/",
                    "http://[::]/",
                    "http://[::ffff:7f00:1]/",
                    "http://[::FFFF:127.0.0.1]/",
                    "http://[0:0:0:0:0:0:0:1]/",
                    "http://[0000::0001]/",
                    "http://user:pass@127.0.0.1/",
                    "http://public.example@127.0.0.1/",
                    "http://public.example%40@127.0.0.1:80/",
                    "http://127.0.0.1:8080/",
                    "http:\\\\127.0.0.1\\x",
                    "http:127.0.0.1",
                    "http://127\u{3002}0\u{ff0e}0\u{ff61}1/",
                    "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
                    "http://\u{2460}\u{2461}\u{2466}.0.0.1/",
                    "http://%31%32%37.0.0.1/",
                    "http://12\t7.0.0.1/",
                    "http://localhost/",
                    "http://LOCALHOST/",
                    "http://localhost./",
                    "http://a.localhost/",
                    "http://a.LocalHost.:80/",
                    "http://\u{24c1}ocalhost/",
                ],
            ),
            (
                Some(Space::Link),
                &[
                    "http://169.254.169.254/latest/meta-data/",
                    "http://2852039166/",
                    "http://0xa9.254.0251.0xfe/",
                    "http://[fe80::1]/",
                ],
            ),
            (
                Some(Space::Private),
                &[
                    "http://10.1/",
                    "http://192.168.257/",
                    "http://4294967295/",
                    "http://[fd00::1]/",
                    "http://0300.0250.1/",
                ],
            ),
            (
                None,
                &[
                    "http://public.example/",
                    "http://localhost.example/",
                    "http://127.0.0.1.example/",
                    "http://notlocalhost/",
                ],
            ),
        ];
        for (space, urls) in rows {
            for text in urls {
                assert_eq!(Space::of_host(&Url::parse(text).unwrap()), space, "{text}");
            }
        }
        // What is no URL never becomes a request.
        for text in [
            "http://[fe80::1%25eth0]/",
            "http://[fe80::1%eth0]/",
            "http://256.1.1.1/",
            "http://1.2.3.4.5/",
            "http://0x100000000/",
            "http://09.1/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }
}
