//! JSON is read and stays JSON.

use serde_json::Value;

use crate::{becomes, error, injected};

#[test]
fn json_stays_json() {
    let pretty = "{
    \"apiVersion\": \"v1\",
    \"kind\": \"List\",
\t\"items\": [{
        \"apiVersion\": \"admissionregistration.k8s.io/v1\",
        \"kind\": \"ValidatingWebhookConfiguration\",
        \"metadata\": {\"name\": \"\\u0073hop\\/\"},
        \"webhooks\": [
            {
                \"name\": \"a\",
                \"clientConfig\": {
                    \"service\": {\"name\": \"hook\", \"namespace\": \"shop\"}
                }
            },
            {\"name\": \"b\", \"clientConfig\": {\"url\": \"https://x\", \"caBundle\": null}},
            {\"name\": \"c\", \"clientConfig\": {\"caBundle\":\"Cg==\", \"url\": \"https://x\"}}
        ]
    }]
}
";
    becomes(
        pretty,
        &pretty
            .replace(
                "                    \"service\"",
                "                    \"caBundle\": \"@CA@\",\n                    \"service\"",
            )
            .replace("null", "\"@CA@\"")
            .replace("Cg==", "@CA@"),
    );
    let compact = "{\"apiVersion\":\"admissionregistration.k8s.io/v1\",\"kind\":\
        \"MutatingWebhookConfiguration\",\"webhooks\":[{\"name\":\"a\",\"clientConfig\":\
        {\"url\":\"https://x\"}}]}";
    let twice = format!("{compact}\n{compact}");
    becomes(
        &twice,
        &twice.replace("{\"url\"", "{\"caBundle\":\"@CA@\",\"url\""),
    );
    for text in [pretty, compact] {
        assert!(serde_json::from_str::<Value>(&injected(text)).is_ok());
    }
    let aggregated = "{\"kind\":\"APIService\",\"apiVersion\":\"apiregistration.k8s.io/v1\",\
        \"metadata\":{\"name\":\"x\"},\"spec\":{\"group\":\"x\",\"service\":{\"name\":\"a\",\
        \"namespace\":\"b\"},\"insecureSkipTLSVerify\":true}}";
    becomes(
        aggregated,
        &aggregated
            .replace("{\"group\"", "{\"caBundle\":\"@CA@\",\"group\"")
            .replace("true", "false"),
    );
    let crlf = pretty.replace('\n', "\r\n");
    assert_eq!(injected(&crlf), injected(pretty).replace('\n', "\r\n"));
}

#[test]
fn bad_json_is_named_too() {
    let kind = "\"kind\": \"ValidatingWebhookConfiguration\"";
    assert!(error(&format!("{{{kind},\n\"a\":\n1,\n\"a\": 2}}\n")).contains("line 4"));
    assert!(error(&format!("{{{kind},\n\"a\":}}]\n")).contains("not valid"));
}
