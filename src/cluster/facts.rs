//! Answers to what a policy needs to know.

use kube::api::{GetParams, PostParams};
use kube::core::Request;
use serde_json::{Value, json};

use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use crate::policy::{Facts, Pod, Question, Service};
use crate::request::{GROUP, Requester};

impl Cluster {
    /// Finds out what `questions` ask, on behalf of `requester`.
    ///
    /// # Errors
    /// When a question cannot be asked. What does not exist is an answer.
    pub async fn find_out(&self, questions: &[Question], requester: &Requester) -> Result<Facts> {
        let mut facts = Facts::default();
        for question in questions {
            match question {
                Question::Service(service) => {
                    let found = self
                        .core("services", &service.namespace, &service.name)
                        .await?;
                    facts.set_service(service.clone(), found.as_ref().map(Service::from_object));
                }
                Question::Pod { namespace, name } => {
                    let found = self.core("pods", namespace, name).await?;
                    facts.set_pod(namespace, name, found.as_ref().map(Pod::from_object));
                }
                Question::SignerAccess { signer_name } => {
                    facts.set_signer_access(
                        signer_name,
                        self.may_request(signer_name, requester).await?,
                    );
                }
            }
        }
        Ok(facts)
    }

    async fn core(
        &self,
        resource: &'static str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>> {
        let call = Call::cluster_scoped("get", "", "v1", resource)
            .within(namespace)
            .on(name);
        let request = Request::new(call.path()).get(name, &GetParams::default());
        match self.send::<Value>(&call, request).await {
            Ok(object) => Ok(Some(object)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks the API server's own authorizer, with everything that it knows of the requester.
    async fn may_request(&self, signer_name: &str, requester: &Requester) -> Result<bool> {
        let call = Call::cluster_scoped(
            "create",
            "authorization.k8s.io",
            "v1",
            "subjectaccessreviews",
        );
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": requester.username,
                "uid": requester.uid,
                "groups": requester.groups,
                "extra": requester.extra,
                "resourceAttributes": {
                    "verb": Question::ACCESS_VERB,
                    "group": GROUP,
                    "resource": "signers",
                    "name": signer_name,
                },
            },
        });
        let request = Request::new(call.path())
            .create(&PostParams::default(), review.to_string().into_bytes());
        let answer: Value = self.send(&call, request).await?;
        Ok(answer["status"]["allowed"] == true)
    }
}
