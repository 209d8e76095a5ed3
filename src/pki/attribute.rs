//! Attribute types of distinguished names.

use std::fmt;

use super::oid::Oid;

/// One attribute type that cfssl's and Kubernetes' subjects use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// C
    Country,
    /// O
    Organization,
    /// OU
    OrganizationalUnit,
    /// L
    Locality,
    /// ST
    Province,
    /// STREET
    StreetAddress,
    /// postalCode
    PostalCode,
    /// CN
    CommonName,
    /// serialNumber
    SerialNumber,
    /// emailAddress (PKCS #9)
    EmailAddress,
    /// Any other attribute type
    Other(Oid),
}

/// Attribute, arcs, short name (RFC 4514, section 3, and OpenSSL's).
const KNOWN: [(Attribute, &[u64], &str); 10] = [
    (Attribute::CommonName, &[2, 5, 4, 3], "CN"),
    (Attribute::SerialNumber, &[2, 5, 4, 5], "serialNumber"),
    (Attribute::Country, &[2, 5, 4, 6], "C"),
    (Attribute::Locality, &[2, 5, 4, 7], "L"),
    (Attribute::Province, &[2, 5, 4, 8], "ST"),
    (Attribute::StreetAddress, &[2, 5, 4, 9], "STREET"),
    (Attribute::Organization, &[2, 5, 4, 10], "O"),
    (Attribute::OrganizationalUnit, &[2, 5, 4, 11], "OU"),
    (Attribute::PostalCode, &[2, 5, 4, 17], "postalCode"),
    (
        Attribute::EmailAddress,
        &[1, 2, 840, 113_549, 1, 9, 1],
        "emailAddress",
    ),
];

/// Short names of attribute types that are shown but not made.
const SHOWN: [(&[u64], &str); 6] = [
    (&[2, 5, 4, 4], "SN"),
    (&[2, 5, 4, 12], "title"),
    (&[2, 5, 4, 42], "GN"),
    (&[2, 5, 4, 97], "organizationIdentifier"),
    (&[0, 9, 2342, 19_200_300, 100, 1, 1], "UID"),
    (&[0, 9, 2342, 19_200_300, 100, 1, 25], "DC"),
];

impl Attribute {
    /// The attribute type with this identifier.
    #[must_use]
    pub fn from_oid(oid: &Oid) -> Self {
        KNOWN
            .iter()
            .find(|(_, arcs, _)| *arcs == oid.arcs())
            .map_or_else(|| Self::Other(oid.clone()), |(known, ..)| known.clone())
    }

    /// Its identifier.
    #[must_use]
    pub fn oid(&self) -> Oid {
        if let Self::Other(oid) = self {
            return oid.clone();
        }
        let arcs = KNOWN
            .iter()
            .find_map(|(known, arcs, _)| (known == self).then_some(*arcs));
        // `KNOWN` has every variant but `Other`.
        Oid::known(arcs.unwrap_or(&[2, 5]))
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Other(oid) = self {
            let shown = SHOWN.iter().find(|(arcs, _)| *arcs == oid.arcs());
            return match shown {
                Some((_, name)) => f.write_str(name),
                None => write!(f, "{oid}"),
            };
        }
        let name = KNOWN
            .iter()
            .find_map(|(known, _, name)| (known == self).then_some(*name));
        f.write_str(name.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_type_has_its_identifier() {
        for (attribute, arcs, _) in &KNOWN {
            assert_eq!(attribute.oid().arcs(), *arcs);
            assert_eq!(Attribute::from_oid(&attribute.oid()), *attribute);
        }
    }
}
