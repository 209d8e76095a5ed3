//! Certificates for servers under test, made without certtool's own code, so that a
//! mistake there cannot hide itself.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// A CA for tests.
pub struct Ca {
    pub pem: String,
    pub key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub fn new(common_name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let key_pem = key.serialize_pem();
        let mut params = parameters(&[], common_name, Duration::days(30));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            key_pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// Writes `tls.crt` and `tls.key` for these DNS names or IP addresses.
    pub fn write_pair(&self, directory: &Path, names: &[&str]) {
        self.write_pair_for(directory, names, Duration::days(1));
    }

    /// The same, for so long; a negative time makes it expired.
    pub fn write_pair_for(&self, directory: &Path, names: &[&str], validity: Duration) {
        let key = KeyPair::generate().unwrap();
        let mut params = parameters(names, names.first().unwrap_or(&"server"), validity);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(directory.join("tls.key"), key.serialize_pem()).unwrap();
    }
}

fn parameters(names: &[&str], common_name: &str, validity: Duration) -> CertificateParams {
    let names = names
        .iter()
        .map(|&name| name.to_owned())
        .collect::<Vec<_>>();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now.min(now + validity) - Duration::hours(1);
    params.not_after = now + validity;
    params
}
