//! `certtool list`: certificate signing requests at a glance.

use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;

use super::kubernetes::KubernetesArgs;
use super::output::YELLOW;
use super::report::plain;
use super::{ExitStatus, Format, Printer, duration};
use crate::cluster::Cluster;
use crate::request::{RequestObject, State};

/// List certificate signing requests, the oldest first
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those for this signer
    #[arg(long, value_name = "SIGNER")]
    signer: Option<String>,
    /// Only those that wait for an approval
    #[arg(long)]
    pending: bool,
    /// Only those with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    name: String,
    uid: String,
    created: Option<String>,
    signer_name: String,
    username: String,
    pod: Option<String>,
    usages: Vec<String>,
    expiration_seconds: Option<i64>,
    state: &'static str,
    names: Vec<String>,
    /// Why the request itself does not read, if it does not.
    problem: Option<String>,
}

pub(super) fn run(
    args: &List,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    super::runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let (mut requests, malformed) = cluster
            .list_requests(args.signer.as_deref(), args.selector.as_deref())
            .await?;
        for error in malformed {
            printer.warning(&error.to_string());
        }
        requests.retain(|request| !args.pending || request.state() == State::Pending);
        requests.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.name.cmp(&b.name)));
        let items: Vec<Item> = requests.iter().map(Item::of).collect();
        let data = serde_json::json!({ "items": items });
        printer.result(&data, || text(&requests, &items, printer))?;
        if items.is_empty() {
            printer.hint("no certificate signing requests");
        }
        Ok(ExitStatus::Done)
    })
}

impl Item {
    fn of(request: &RequestObject) -> Self {
        let (names, problem) = match request.csr() {
            Ok(csr) => {
                let mut names: Vec<_> = csr.names.iter().map(crate::pki::San::value).collect();
                if names.is_empty() {
                    names.extend(
                        csr.subject
                            .common_names()
                            .iter()
                            .map(|name| format!("CN={name}")),
                    );
                }
                (names, None)
            }
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        Self {
            name: request.name.clone(),
            uid: request.uid.clone(),
            created: request.created.map(super::instant),
            signer_name: request.signer_name.clone(),
            username: request.requester.username.clone(),
            pod: request.requester.pod().map(str::to_owned),
            usages: request.usages.clone(),
            expiration_seconds: request.expiration_seconds,
            state: request.state().as_str(),
            names,
            problem,
        }
    }
}

fn text(requests: &[RequestObject], items: &[Item], printer: &Printer) -> String {
    if printer.format() == Format::Name {
        return items
            .iter()
            .map(|item| format!("certificatesigningrequest/{}\n", plain(&item.name)))
            .collect();
    }
    if items.is_empty() {
        return String::new();
    }
    let now = OffsetDateTime::now_utc();
    let wide = printer.format() == Format::Wide;
    // What a terminal may cut off comes last.
    let mut heading = vec!["NAME", "AGE", "CONDITION", "SIGNER", "REQUESTER", "NAMES"];
    if wide {
        heading.splice(5..5, ["POD", "DURATION", "USAGES"]);
    }
    let mut rows: Vec<Vec<String>> = vec![heading.into_iter().map(str::to_owned).collect()];
    for (request, item) in requests.iter().zip(items) {
        let age = request
            .created
            .map_or_else(|| "?".to_owned(), |at| duration::short(now - at));
        let condition = match request.state() {
            State::Pending => printer.styled(YELLOW, item.state),
            _ => item.state.to_owned(),
        };
        let names = match &item.problem {
            Some(problem) => format!("({problem})"),
            None => item.names.join(","),
        };
        let mut row = vec![
            plain(&item.name),
            age,
            condition,
            item.signer_name.clone(),
            plain(&item.username),
            plain(&names),
        ];
        if wide {
            let life = item.expiration_seconds.map_or_else(
                || "<none>".to_owned(),
                |seconds| duration::short(time::Duration::seconds(seconds)),
            );
            let pod = item.pod.clone().unwrap_or_else(|| "<none>".to_owned());
            row.splice(5..5, [plain(&pod), life, item.usages.join(",")]);
        }
        rows.push(row);
    }
    let table = printer.table(&rows);
    if wide { table } else { printer.fitted(&table) }
}
