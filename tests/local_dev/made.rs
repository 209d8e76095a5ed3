//! Certificates with dates and usages that neither openssl's options nor certtool give:
//! what a pair looks like after time has passed.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// What is unusual about a leaf.
pub(crate) struct Leaf<'a> {
    pub(crate) names: &'a [&'a str],
    /// From now on.
    pub(crate) begins: Duration,
    pub(crate) ends: Duration,
    pub(crate) usage: ExtendedKeyUsagePurpose,
}

impl Default for Leaf<'_> {
    fn default() -> Self {
        Self {
            names: &["localhost", "127.0.0.1", "::1"],
            begins: -Duration::days(20),
            ends: Duration::days(10),
            usage: ExtendedKeyUsagePurpose::ServerAuth,
        }
    }
}

impl Leaf<'_> {
    /// Puts it, signed by the CA in `ca`, where certtool wrote its pair: as if it were the
    /// one that certtool wrote, some time ago.
    pub(crate) fn put(&self, ca: &Path, certs: &Path) {
        let read = |name| fs::read_to_string(ca.join(name)).unwrap();
        let ca_key = KeyPair::from_pem(&read("ca.key")).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), ca_key).unwrap();
        let names: Vec<_> = self.names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![self.usage.clone()];
        date(&mut params, self.begins, self.ends);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(certs.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(certs.join("tls.key"), key.serialize_pem()).unwrap();
    }
}

/// Writes a CA, valid between two times from now on, to `NAME.crt` and `NAME.key`; below
/// another one if that is given. The certificates above it follow.
pub(crate) fn write_ca(dir: &Path, name: &str, above: Option<&str>, dates: (Duration, Duration)) {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = true;
    date(&mut params, dates.0, dates.1);
    let key = KeyPair::generate().unwrap();
    let pem = match above {
        None => params.self_signed(&key).unwrap().pem(),
        Some(above) => {
            let read = |end| fs::read_to_string(dir.join(format!("{above}.{end}"))).unwrap();
            let above_key = KeyPair::from_pem(&read("key")).unwrap();
            let issuer = Issuer::from_ca_cert_pem(&read("crt"), above_key).unwrap();
            params.signed_by(&key, &issuer).unwrap().pem() + &read("crt")
        }
    };
    fs::write(dir.join(format!("{name}.crt")), pem).unwrap();
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

fn date(params: &mut CertificateParams, begins: Duration, ends: Duration) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now + begins;
    params.not_after = now + ends;
}
