//! Answers to what a policy needs to know.

use futures::future::try_join_all;
use kube::api::{GetParams, PostParams};
use kube::core::Request;
use serde_json::{Value, json};

use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use crate::policy::{Facts, Pod, Question, Service};
use crate::request::{GROUP, Requester};

/// The answer to one question.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The Service, if there is one.
    Service(Option<Service>),
    /// The pod, if there is one.
    Pod(Option<Pod>),
    /// Whether the requester may ask the signer.
    Access(bool),
}

impl Answer {
    /// Notes the answer to `question`.
    pub fn put_into(self, facts: &mut Facts, question: &Question) {
        match (question, self) {
            (Question::Service(name), Self::Service(service)) => {
                facts.set_service(name.clone(), service);
            }
            (Question::Pod { namespace, name }, Self::Pod(pod)) => {
                facts.set_pod(namespace, name, pod);
            }
            (Question::SignerAccess { signer_name }, Self::Access(allowed)) => {
                facts.set_signer_access(signer_name, allowed);
            }
            // An answer to another question says nothing.
            _ => {}
        }
    }
}

impl Cluster {
    /// Finds out what `questions` ask, on behalf of `requester`.
    ///
    /// # Errors
    /// When a question cannot be asked. What does not exist is an answer.
    pub async fn find_out(&self, questions: &[Question], requester: &Requester) -> Result<Facts> {
        let answers = questions
            .iter()
            .map(|question| self.answer(question, requester));
        let mut facts = Facts::default();
        for (question, answer) in questions.iter().zip(try_join_all(answers).await?) {
            answer.put_into(&mut facts, question);
        }
        Ok(facts)
    }

    /// One answer.
    ///
    /// # Errors
    /// As [`Cluster::find_out`].
    pub async fn answer(&self, question: &Question, requester: &Requester) -> Result<Answer> {
        Ok(match question {
            Question::Service(service) => {
                let found = self
                    .core("services", &service.namespace, &service.name)
                    .await?;
                Answer::Service(found.as_ref().map(Service::from_object))
            }
            Question::Pod { namespace, name } => {
                let found = self.core("pods", namespace, name).await?;
                Answer::Pod(found.as_ref().map(Pod::from_object))
            }
            Question::SignerAccess { signer_name } => {
                Answer::Access(self.may_request(signer_name, requester).await?)
            }
        })
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
