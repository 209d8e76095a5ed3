//! The CertificateSigningRequest API.

use std::time::Duration;

use kube::api::{DeleteParams, GetParams, ListParams, PostParams, Preconditions};
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::FIELD_MANAGER;
use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use crate::request::{GROUP, Malformed, NewRequest, RequestObject};

/// How many requests a page of a list has.
const PAGE: u32 = 500;
/// How often a change is made anew after somebody else changed the object.
const ATTEMPTS: usize = 8;

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    items: Vec<Value>,
    metadata: ListMeta,
}

#[derive(Deserialize)]
struct ListMeta {
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

fn call(verb: &'static str) -> Call {
    Call::cluster_scoped(verb, GROUP, "v1", "certificatesigningrequests")
}

fn subresource(resource: &'static str, name: &str) -> Call {
    Call::cluster_scoped("update", GROUP, "v1", resource).on(name)
}

/// A name as one segment of a path: the API server accepts all but `/` and `%` in the name
/// of a request, and a `?` must not end the path.
fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    name.bytes()
        .map(|byte| match byte {
            byte if plain(byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn read(call: &Call, object: Value) -> Result<RequestObject> {
    RequestObject::read(object).map_err(|error| Error::Other {
        call: Box::new(call.clone()),
        why: error.to_string(),
    })
}

impl Cluster {
    /// One request; `None` when it does not exist.
    ///
    /// # Errors
    /// Anything but "not found".
    pub async fn get_request(&self, name: &str) -> Result<Option<RequestObject>> {
        let call = call("get").on(name);
        let request = Request::new(call.path()).get(&segment(name), &GetParams::default());
        match self.send::<Value>(&call, request).await {
            Ok(object) => read(&call, object).map(Some),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All requests, of one signer if it is given; those that do not read beside them.
    ///
    /// # Errors
    /// When the list is refused or breaks off.
    pub async fn list_requests(
        &self,
        signer: Option<&str>,
        labels: Option<&str>,
    ) -> Result<(Vec<RequestObject>, Vec<Malformed>)> {
        let call = call("list");
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = labels.map(str::to_owned);
        // The API server selects by signer itself (`pkg/apis/certificates/v1/conversion.go`).
        params.field_selector = signer.map(|signer| format!("spec.signerName={signer}"));
        let (mut requests, mut malformed) = (Vec::new(), Vec::new());
        loop {
            let page: List = self
                .send(&call, Request::new(call.path()).list(&params))
                .await?;
            for mut item in page.items {
                // Items of a list have no type of their own.
                item["apiVersion"] = "certificates.k8s.io/v1".into();
                item["kind"] = "CertificateSigningRequest".into();
                match RequestObject::read(item) {
                    Ok(request) => requests.push(request),
                    Err(error) => malformed.push(error),
                }
            }
            match page.metadata.next.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok((requests, malformed)),
            }
        }
    }

    /// Creates a request; `None` when there is one of this name already.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create_request(
        &self,
        new: &NewRequest,
        dry_run: bool,
    ) -> Result<Option<RequestObject>> {
        let call = call("create").on(&new.name);
        let object = new.to_object().map_err(|error| Error::Other {
            call: Box::new(call.clone()),
            why: error.to_string(),
        })?;
        let params = PostParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let request = Request::new(call.path()).create(&params, object.to_string().into_bytes());
        match self.send::<Value>(&call, request).await {
            Ok(object) => read(&call, object).map(Some),
            Err(Error::Api { code: 409, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes a request, and no other one of its name.
    ///
    /// # Errors
    /// When it is refused; not when it is gone already.
    pub async fn delete_request(&self, request: &RequestObject) -> Result<()> {
        let call = call("delete").on(&request.name);
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(request.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self
            .send::<Value>(
                &call,
                Request::new(call.path()).delete(&segment(&request.name), &params),
            )
            .await
        {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Changes a request's approval: `change` makes the new object from the current one, or
    /// nothing when there is nothing to change; made anew when somebody else was faster.
    ///
    /// # Errors
    /// When it is refused, gone, replaced by another of its name, or `change` fails.
    pub async fn update_approval<E: From<Error>>(
        &self,
        name: &str,
        uid: &str,
        dry_run: bool,
        change: impl FnMut(&RequestObject) -> Result<Option<Value>, E>,
    ) -> Result<RequestObject, E> {
        self.update_request(
            "certificatesigningrequests/approval",
            name,
            uid,
            dry_run,
            change,
        )
        .await
    }

    /// Changes a request's status, as [`Cluster::update_approval`] does its approval.
    ///
    /// # Errors
    /// As [`Cluster::update_approval`].
    pub async fn update_request_status<E: From<Error>>(
        &self,
        name: &str,
        uid: &str,
        dry_run: bool,
        change: impl FnMut(&RequestObject) -> Result<Option<Value>, E>,
    ) -> Result<RequestObject, E> {
        self.update_request(
            "certificatesigningrequests/status",
            name,
            uid,
            dry_run,
            change,
        )
        .await
    }

    async fn update_request<E: From<Error>>(
        &self,
        resource: &'static str,
        name: &str,
        uid: &str,
        dry_run: bool,
        mut change: impl FnMut(&RequestObject) -> Result<Option<Value>, E>,
    ) -> Result<RequestObject, E> {
        let call = subresource(resource, name);
        let part = resource.rsplit('/').next().unwrap_or_default();
        let path = Call {
            resource: "certificatesigningrequests",
            ..call.clone()
        }
        .path();
        let params = PostParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let mut attempt = 1;
        loop {
            let current = self
                .get_request(name)
                .await?
                .filter(|request| uid.is_empty() || request.uid == uid)
                .ok_or_else(|| Error::NotFound {
                    call: Box::new(call.clone()),
                })?;
            let Some(object) = change(&current)? else {
                return Ok(current);
            };
            let request = Request::new(path.clone()).replace_subresource(
                part,
                &segment(name),
                &params,
                object.to_string().into_bytes(),
            );
            match self.send::<Value>(&call, request).await {
                Ok(object) => return Ok(read(&call, object)?),
                Err(Error::Conflict { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes a request's approval: `object`, made from one that was read. Nothing is read
    /// first: when somebody changed it since, this fails.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it has changed, and whatever else the API server refuses.
    pub async fn put_approval(&self, name: &str, object: &Value) -> Result<RequestObject> {
        let resource = "certificatesigningrequests/approval";
        let object = self.put_request(resource, name, object).await?;
        read(&subresource(resource, name), object)
    }

    /// As [`Cluster::put_approval`], for its status.
    ///
    /// # Errors
    /// As [`Cluster::put_approval`].
    pub async fn put_request_status(&self, name: &str, object: &Value) -> Result<()> {
        let resource = "certificatesigningrequests/status";
        let _: serde::de::IgnoredAny = self.put_request(resource, name, object).await?;
        Ok(())
    }

    async fn put_request<T: serde::de::DeserializeOwned>(
        &self,
        resource: &'static str,
        name: &str,
        object: &Value,
    ) -> Result<T> {
        let part = resource.rsplit('/').next().unwrap_or_default();
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let body = object.to_string().into_bytes();
        let path = call("update").path();
        let request = Request::new(path).replace_subresource(part, &segment(name), &params, body);
        self.send(&subresource(resource, name), request).await
    }

    /// Waits until `done` says so of the request with this UID, and says on what.
    ///
    /// Polls rather than watches: a watch needs a verb more, and a person or a script waits
    /// for one object.
    ///
    /// # Errors
    /// When it is deleted, or replaced by another of its name; `Ok(None)` at `deadline`.
    pub async fn wait_for_request(
        &self,
        name: &str,
        uid: &str,
        deadline: Instant,
        mut done: impl FnMut(&RequestObject) -> bool,
    ) -> Result<Option<RequestObject>> {
        let mut pause = Duration::from_millis(20);
        loop {
            match self.get_request(name).await {
                Ok(Some(request)) if request.uid != uid => {
                    return Err(Error::Other {
                        call: Box::new(call("get").on(name)),
                        why: "it was deleted while certtool waited, and another one of its name was made".to_owned(),
                    });
                }
                Ok(Some(request)) if done(&request) => return Ok(Some(request)),
                Ok(None) => {
                    return Err(Error::Other {
                        call: Box::new(call("get").on(name)),
                        why: "it was deleted while certtool waited".to_owned(),
                    });
                }
                // An API server that restarts comes back.
                Err(error) if !error.is_transient() => return Err(error),
                Ok(Some(_)) | Err(_) => {}
            }
            if Instant::now() + pause > deadline {
                return Ok(None);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_secs(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment_of_the_path() {
        assert_eq!(segment("node-csr.a_b:c~1"), "node-csr.a_b:c~1");
        assert_eq!(segment("a/b?c#d e%é"), "a%2Fb%3Fc%23d%20e%25%C3%A9");
    }
}
