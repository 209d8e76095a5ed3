//! Why something is no authority, or an authority does not issue.

use super::{CertificateError, KeyError, SignatureError};

/// Why two PEM texts do not make an authority; `cert` and `key` are what the texts are called.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityPemError {
    /// The certificate.
    #[error("could not read the CA certificate {cert}")]
    Certificate {
        /// The text's name.
        cert: String,
        /// Why.
        source: CertificateError,
    },
    /// The private key.
    #[error("could not read the CA key {key}")]
    Key {
        /// The text's name.
        key: String,
        /// Why.
        source: KeyError,
    },
    /// Both together.
    #[error("{cert} and {key} do not make a CA")]
    Pair {
        /// The certificate's name.
        cert: String,
        /// The key's name.
        key: String,
        /// Why.
        source: Box<AuthorityError>,
    },
}

/// Why a certificate and a key do not make an authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// No certificate was given.
    #[error("there is no CA certificate")]
    Empty,
    /// The certificate is not a CA.
    #[error(
        "the certificate {subject} is not a CA: its basic constraints do not say CA:TRUE, so nothing that it signs verifies{}",
        if *version == 1 { " (it is an X.509 version 1 certificate: `openssl x509 -req` without extensions makes those)" } else { "" }
    )]
    NotCa {
        /// Its subject.
        subject: String,
        /// Its version.
        version: u32,
    },
    /// The certificate's key usage does not allow signing.
    #[error("the CA certificate {0} may not sign certificates: its key usage lacks keyCertSign")]
    MayNotSign(String),
    /// The key belongs to another certificate.
    #[error(
        "the private key does not belong to the CA certificate {subject} (SHA-256 {fingerprint})"
    )]
    KeyMismatch {
        /// Its subject.
        subject: String,
        /// Its fingerprint.
        fingerprint: String,
    },
    /// A certificate of the chain does not certify the one before it.
    #[error("the chain is out of order: {child} is issued by {issuer}, but {next} follows")]
    Chain {
        /// The certificate.
        child: String,
        /// Its issuer.
        issuer: String,
        /// What follows.
        next: String,
    },
    /// A signature of the chain does not verify.
    #[error(
        "the chain is broken: {child} is not signed by {next}, which has the issuer's name: {why}"
    )]
    ChainSignature {
        /// The certificate.
        child: String,
        /// What follows.
        next: String,
        /// What the verification said.
        why: SignatureError,
    },
    /// A path length of the chain does not allow the CAs below it.
    #[error(
        "the chain never verifies: {subject} allows {allowed} intermediate CAs below it and there are {below}"
    )]
    ChainPathLength {
        /// Whose path length.
        subject: String,
        /// The path length.
        allowed: u8,
        /// How many CAs are below it in the chain.
        below: usize,
    },
    /// The CA could not be made.
    #[error("could not make the CA certificate: {0}")]
    Creation(String),
}

/// Why an authority does not issue a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The CA is out of date.
    #[error("the CA {subject} is not valid at {now}: it runs from {not_before} to {not_after}")]
    CaNotValid {
        /// Its subject.
        subject: String,
        /// When it was asked.
        now: String,
        /// Its first instant.
        not_before: String,
        /// Its last instant.
        not_after: String,
    },
    /// Nothing is left of the validity after clamping to the CA's.
    #[error("the certificate would not be valid at all: from {not_before} to {not_after}")]
    EmptyValidity {
        /// First instant.
        not_before: String,
        /// Last instant.
        not_after: String,
    },
    /// Neither a SAN nor a subject.
    #[error("the certificate would name nobody: it has no subject alternative name and no subject")]
    NoNames,
    /// The CA's path length allows no further CA.
    #[error(
        "the CA {subject} has path length {own}, so that it may {} (RFC 5280, section 4.2.1.9)",
        if *own == 0 { "not certify another CA" } else { "certify only CAs with a smaller one" }
    )]
    PathLength {
        /// Its subject.
        subject: String,
        /// Its path length.
        own: u8,
    },
    /// The CA's name constraints forbid a name.
    #[error("the CA's name constraints forbid a name: {0} (RFC 5280, section 4.2.1.10)")]
    NameConstraints(String),
    /// Names, key or encoding.
    #[error("{0}")]
    Content(String),
}
