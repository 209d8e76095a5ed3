//! Name constraints of a CA, as its certificate carries them.

use std::net::IpAddr;

use x509_parser::extensions::{GeneralName, GeneralSubtree};

use super::{DistinguishedName, San};

/// The permitted and excluded subtrees (RFC 5280, section 4.2.1.10). Those of DNS names
/// and addresses are judged; a name of any other kind that is constrained is refused,
/// since a certificate that clients refuse is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subtrees {
    permitted_dns: Vec<String>,
    excluded_dns: Vec<String>,
    permitted_ip: Vec<Vec<u8>>,
    excluded_ip: Vec<Vec<u8>>,
    email: bool,
    uri: bool,
    directory: bool,
}

impl Subtrees {
    pub(super) fn read(found: &x509_parser::extensions::NameConstraints<'_>) -> Self {
        let permitted = found.permitted_subtrees.as_deref().unwrap_or_default();
        let excluded = found.excluded_subtrees.as_deref().unwrap_or_default();
        let any = |wanted: fn(&GeneralName<'_>) -> bool| {
            permitted
                .iter()
                .chain(excluded)
                .any(|tree| wanted(&tree.base))
        };
        Self {
            permitted_dns: dns_trees(permitted),
            excluded_dns: dns_trees(excluded),
            permitted_ip: ip_trees(permitted),
            excluded_ip: ip_trees(excluded),
            email: any(|name| matches!(name, GeneralName::RFC822Name(_))),
            uri: any(|name| matches!(name, GeneralName::URI(_))),
            directory: any(|name| matches!(name, GeneralName::DirectoryName(_))),
        }
    }

    /// The constraints in words; `None` when there are none.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let mut parts = Vec::new();
        let mut add = |what: &str, trees: &[String]| {
            if !trees.is_empty() {
                parts.push(format!("{what} {}", trees.join(", ")));
            }
        };
        add("for DNS names below", &self.permitted_dns);
        add("not for DNS names below", &self.excluded_dns);
        let ranges = |trees: &[Vec<u8>]| trees.iter().map(|tree| range(tree)).collect::<Vec<_>>();
        add("for addresses in", &ranges(&self.permitted_ip));
        add("not for addresses in", &ranges(&self.excluded_ip));
        // A constraint on one kind of name says nothing about another (RFC 5280, 4.2.1.10).
        if !self.permitted_dns.is_empty() && self.permitted_ip.is_empty() {
            parts.push("for any IP address".to_owned());
        }
        if self.email || self.uri || self.directory {
            parts.push("with constraints on e-mail addresses, URIs or subjects".to_owned());
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Why the constraints forbid `name`, if they do.
    #[must_use]
    pub fn forbids(&self, name: &San) -> Option<String> {
        match name {
            San::Dns(name) => self.forbids_dns(name),
            San::Ip(ip) => self.forbids_ip(*ip),
            San::Email(_) if self.email => Some(not_judged(name)),
            San::Uri(_) if self.uri => Some(not_judged(name)),
            San::Email(_) | San::Uri(_) | San::Other(_) => None,
        }
    }

    /// Why the constraints forbid `subject`, if they do.
    #[must_use]
    pub fn forbids_subject(&self, subject: &DistinguishedName) -> Option<String> {
        (self.directory && !subject.is_empty()).then(|| {
            format!("it constrains subjects, which certtool does not judge: leave {subject} out")
        })
    }

    fn forbids_dns(&self, name: &str) -> Option<String> {
        if let Some(tree) = self.excluded_dns.iter().find(|tree| dns_within(name, tree)) {
            return Some(format!("{name} lies in the excluded subtree {tree}"));
        }
        let permitted = self.permitted_dns.is_empty()
            || self.permitted_dns.iter().any(|tree| dns_within(name, tree));
        (!permitted).then(|| {
            format!(
                "{name} lies in none of the permitted subtrees {}",
                self.permitted_dns.join(", ")
            )
        })
    }

    fn forbids_ip(&self, ip: IpAddr) -> Option<String> {
        if self.excluded_ip.iter().any(|net| ip_within(ip, net)) {
            return Some(format!("{ip} lies in an excluded range"));
        }
        let permitted =
            self.permitted_ip.is_empty() || self.permitted_ip.iter().any(|net| ip_within(ip, net));
        (!permitted).then(|| format!("{ip} lies in none of the permitted ranges"))
    }
}

fn not_judged(name: &San) -> String {
    format!(
        "it constrains names of the kind {}, which certtool does not judge",
        name.kind()
    )
}

/// An address and mask as `ADDRESS/PREFIX`.
fn range(tree: &[u8]) -> String {
    let (address, mask) = tree.split_at(tree.len() / 2);
    let prefix: u32 = mask.iter().map(|octet| octet.count_ones()).sum();
    let address = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
        (Ok(v4), _) => IpAddr::from(v4),
        (_, Ok(v6)) => IpAddr::from(v6),
        _ => return "(malformed range)".to_owned(),
    };
    format!("{address}/{prefix}")
}

fn dns_trees(trees: &[GeneralSubtree<'_>]) -> Vec<String> {
    trees
        .iter()
        .filter_map(|tree| match &tree.base {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}

fn ip_trees(trees: &[GeneralSubtree<'_>]) -> Vec<Vec<u8>> {
    trees
        .iter()
        .filter_map(|tree| match &tree.base {
            GeneralName::IPAddress(octets) => Some(octets.to_vec()),
            _ => None,
        })
        .collect()
}

/// As Go's crypto/x509 does: a leading dot asks for at least one label in front.
fn dns_within(name: &str, tree: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name).to_ascii_lowercase();
    let tree = tree.to_ascii_lowercase();
    match tree.strip_prefix('.') {
        Some(bare) => name
            .strip_suffix(bare)
            .is_some_and(|front| front.ends_with('.')),
        None => {
            tree.is_empty()
                || name == tree
                || name
                    .strip_suffix(&tree)
                    .is_some_and(|front| front.ends_with('.'))
        }
    }
}

fn ip_within(ip: IpAddr, net: &[u8]) -> bool {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    if net.len() != octets.len() * 2 {
        return false;
    }
    let (base, mask) = net.split_at(octets.len());
    octets
        .iter()
        .zip(base)
        .zip(mask)
        .all(|((octet, base), mask)| octet & mask == base & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(name: &str) -> San {
        San::Dns(name.to_owned())
    }

    #[test]
    fn a_subtree_holds_the_domain_and_all_below_it() {
        let constraints = Subtrees {
            permitted_dns: vec!["shop.svc".to_owned(), ".example.com".to_owned()],
            excluded_dns: vec!["bad.shop.svc".to_owned()],
            ..Subtrees::default()
        };
        for name in [
            "shop.svc",
            "a.SHOP.svc",
            "*.shop.svc",
            "a.example.com",
            "*.a.example.com",
        ] {
            assert_eq!(constraints.forbids(&dns(name)), None, "{name}");
        }
        for name in [
            "svc",
            "workshop.svc",
            "example.com",
            "bad.shop.svc",
            "x.bad.shop.svc",
        ] {
            assert!(constraints.forbids(&dns(name)).is_some(), "{name}");
        }
        let ip = San::Ip("10.0.0.1".parse().unwrap());
        assert_eq!(
            constraints.forbids(&ip),
            None,
            "addresses are not constrained"
        );
    }

    #[test]
    fn a_range_holds_addresses_of_its_own_family() {
        let constraints = Subtrees {
            permitted_ip: vec![vec![10, 0, 0, 0, 255, 0, 0, 0]],
            ..Subtrees::default()
        };
        let forbids = |ip: &str| constraints.forbids(&San::Ip(ip.parse().unwrap())).is_some();
        assert!(!forbids("10.255.0.1"));
        assert!(forbids("11.0.0.1"));
        assert!(forbids("::1"));
    }

    #[test]
    fn constraints_that_are_not_judged_forbid() {
        let constraints = Subtrees {
            email: true,
            directory: true,
            ..Subtrees::default()
        };
        assert!(constraints.forbids(&San::Email("a@b".to_owned())).is_some());
        assert!(
            constraints
                .forbids(&San::Uri("spiffe://a".to_owned()))
                .is_none()
        );
        let subject = DistinguishedName::common_name_only("a");
        assert!(constraints.forbids_subject(&subject).is_some());
        assert!(
            constraints
                .forbids_subject(&DistinguishedName::empty())
                .is_none()
        );
    }
}
