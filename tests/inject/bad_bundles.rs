//! What must not be injected.

use time::Duration;

use crate::support::pki::Ca;
use crate::{Home, hook};

#[test]
fn keys_leaves_expired_ones_and_garbage_are_refused_with_the_reason() {
    let home = Home::new();
    let ca = Ca::new("a CA");
    home.write("key.pem", &ca.key_pem);
    home.write("both.pem", format!("{}{}", ca.pem, ca.key_pem));
    home.write("garbage.pem", "not PEM at all\n");
    home.write("empty.pem", "\n");
    home.write("der.pem", [0x30, 0x82, 1, 2]);
    ca.write_pair(&home.path("leaf"), &["hook.shop.svc"]);
    ca.write_pair_for(&home.path("late"), &["hook.shop.svc"], Duration::days(-2));
    let before = hook("    url: https://x\n");
    for (file, why) in [
        ("key.pem", "private key"),
        ("both.pem", "private key"),
        ("garbage.pem", "garbage.pem is not injected"),
        ("empty.pem", "the bundle is empty"),
        ("der.pem", "der.pem is not injected"),
        (
            "leaf/tls.crt",
            "is no CA; give the CA that signed it (CN=a CA)",
        ),
        ("late/tls.crt", "expired at"),
        ("gone.pem", "could not open gone.pem"),
    ] {
        let said = home
            .piped(&before, &format!("inject --ca {file}"))
            .refused(1, &[file, why]);
        assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    }
    // Beside a good one, too.
    home.piped(&before, "inject --ca ca.crt --ca key.pem")
        .refused(1, &["key.pem"]);
}

#[test]
fn a_serving_certificate_that_signs_itself_is_allowed_with_a_warning() {
    let home = Home::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["hook.shop.svc".to_owned()]).unwrap();
    home.write("self.crt", params.self_signed(&key).unwrap().pem());
    let said = home
        .piped(hook("    url: https://x\n"), "inject --ca self.crt")
        .done()
        .explains(&["warning:", "is no CA but signed by itself"]);
    assert!(said.stdout.contains(&home.base64(&["self.crt"])));
}
