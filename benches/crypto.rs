//! How often per second the crypto library alone verifies one ECDSA P-256 signature and
//! makes another one, on all cores: the floor for signing requests.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};

const RUN: Duration = Duration::from_secs(2);
/// About what a request's or a certificate's signed part has.
const MESSAGE: [u8; 400] = [7; 400];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref())?;
    let signature = key.sign(&random, &MESSAGE)?;
    let public = key.public_key().as_ref();
    let count = AtomicU64::new(0);
    let cores = std::thread::available_parallelism()?.get();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                // Each looks at the clock itself: under a real-time scheduler a thread that is to
                // stop the others would never run.
                while began.elapsed() < RUN {
                    let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public);
                    let verified = verifier.verify(&MESSAGE, signature.as_ref()).is_ok();
                    let signed = key.sign(&random, &MESSAGE).is_ok();
                    assert!(black_box(verified && signed));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let rate = count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.1} per second on {cores} cores");
    Ok(())
}
