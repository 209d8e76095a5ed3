//! Proof that the API server reaches an aggregated API server: a request that it passes on.

use kube::api::GetParams;
use kube::core::Request;
use serde_json::Value;

use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use crate::injectable::{Kind, ObjectId};

impl Cluster {
    /// Has the API server ask the server behind an APIService for its resources, as discovery
    /// does (`/apis/GROUP/VERSION`, which every authenticated user may). `Some` with the API
    /// server's objection: what it says of the request, and of the APIService.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn ask_aggregated(&self, object: &Value) -> Result<Option<String>> {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
        let call = Call::cluster_scoped(
            "get",
            Kind::ApiService.group(),
            Kind::ApiService.version(),
            Kind::ApiService.plural(),
        );
        let (Some(id), Some(group), Some(version)) = (
            ObjectId::of(object),
            text("/spec/group"),
            text("/spec/version"),
        ) else {
            return Ok(Some("it names no group and version".to_owned()));
        };
        let call = call.on(&id.name);
        let request = http::Request::get(format!("/apis/{group}/{version}"))
            .body(Vec::new())
            .map_err(kube::core::request::Error::BuildRequest);
        let said = match self.send::<Value>(&call, request).await {
            Ok(_) => return Ok(None),
            Err(error @ (Error::Unreachable { .. } | Error::Unauthorized { .. })) => {
                return Err(error);
            }
            Err(Error::Api { message, .. } | Error::Forbidden { message, .. }) => message,
            Err(error) => error.to_string(),
        };
        let said = said.trim();
        let request = Request::new(call.path()).get(&id.name, &GetParams::default());
        let object: Value = self.send(&call, request).await?;
        Ok(Some(match unavailable(&object) {
            Some(why) => format!("{said}; Available is {why}"),
            None => said.to_owned(),
        }))
    }
}

/// The condition `Available`, unless it is true.
fn unavailable(object: &Value) -> Option<String> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let condition = conditions
        .iter()
        .find(|condition| condition["type"] == "Available")?;
    let text = |key: &str| condition[key].as_str().unwrap_or_default();
    (text("status") != "True").then(|| {
        format!(
            "{} ({}): {}",
            text("status"),
            text("reason"),
            text("message")
        )
    })
}
