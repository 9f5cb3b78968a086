//! Which addresses a public document may not name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Whether an address is not of the public internet (IANA's special-purpose registries, RFC 6890).
pub(crate) fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_special_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => is_special_v4(v4),
            None => is_special_v6(v6),
        },
    }
}

fn is_special_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
}

fn is_special_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    v6.is_unspecified()
        || v6.is_loopback()
        || v6.is_multicast()
        || v6.is_unique_local()
        || v6.is_unicast_link_local()
        || a & 0xffc0 == 0xfec0
        || a == 0x100
        || (a == 0x64 && b == 0xff9b)
        || (a == 0x2001 && (b < 0x200 || b == 0xdb8))
        || a == 0x3fff
        || a == 0x5f00
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64 and 6to4 forms.
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let low = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, h, l] | [0x64, 0xff9b, 0, 0, 0, 0, h, l] | [0, 0, 0, 0, 0xffff, 0, h, l] => Some(low(h, l)),
        [0, 0, 0, 0, 0, 0, h, l] if h != 0 => Some(low(h, l)),
        [0x2002, h, l, ..] => Some(low(h, l)),
        _ => None,
    }
}

/// The special address that stands in a URL itself, which no name resolution ever sees.
pub(crate) fn literal_special(url: &Url) -> Option<IpAddr> {
    let address = match url.host()? {
        Host::Ipv4(v4) => IpAddr::V4(v4),
        Host::Ipv6(v6) => IpAddr::V6(v6),
        Host::Domain(_) => return None,
    };
    is_special(address).then_some(address)
}

/// Whether a URL names this machine (RFC 6761, 6.3).
pub(crate) fn is_localhost(url: &Url) -> bool {
    let name = url.host_str().unwrap_or_default().trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

/// A name that a public document names has no public address.
#[derive(Debug)]
pub(crate) struct NotPublic {
    name: String,
}

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} has no public address, and a public document names it; --allow-private permits it",
            self.name
        )
    }
}

impl std::error::Error for NotPublic {}

/// A name resolver that leaves special addresses out, so that the connection cannot go there whatever a name
/// server answers, or answers the second time.
#[derive(Debug)]
pub(crate) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found.iter().copied().filter(|found| !is_special(found.ip())).collect();
            if public.is_empty() {
                return Err(NotPublic {
                    name: name.as_str().into(),
                }
                .into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_known_in_every_form() {
        let special = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.0.1",
            "203.0.113.9",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::127.0.0.1",
            "64:ff9b:1::1",
            "2001:db8::1",
        ];
        for text in special {
            assert!(is_special(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(!is_special(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_literal_address_is_found_however_it_is_written() {
        for text in [
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://0x7f.1/",
            "http://[::ffff:7f00:1]/",
            "http://127.1/",
        ] {
            assert!(literal_special(&Url::parse(text).unwrap()).is_some(), "{text}");
        }
        assert!(
            literal_special(&Url::parse("http://localhost/").unwrap()).is_none(),
            "names are the resolver's to judge"
        );
    }
}
