//! `tidegate request`: one request with a connection's credentials, and its answer.

use std::io::{IsTerminal, Write};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidegate_engine::limits::Limits;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_service::control::{ProxyRequest, ProxyResponse};
use tidegate_service::problem::{Kind, Problem, Result};

use super::Global;
use super::source::read_text;
use crate::output;

/// Arguments of `request`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    integration: Name,
    connection: ConnectionName,
    /// GET, POST, PUT, PATCH, DELETE, …
    method: String,
    /// A path below the connection's base URL, or a whole URL that is granted
    path: String,
    /// A header of the request; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME:VALUE")]
    headers: Vec<Header>,
    /// Its body: JSON, or @FILE, or - for stdin
    #[arg(long, value_name = "JSON|@FILE|-")]
    body: Option<String>,
    /// Print the status and the headers too
    #[arg(long, short)]
    include: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// `NAME:VALUE`
#[derive(Debug, Clone)]
struct Header(String, String);

impl FromStr for Header {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let parts = text.split_once(':');
        let (name, value) = parts.ok_or("write NAME:VALUE, such as Accept:text/csv")?;
        Ok(Self(name.trim().to_owned(), value.trim().to_owned()))
    }
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let most = Limits::default().http_request_bytes;
    let body = match &args.body {
        Some(word) => Some(read_text("the body", word, most)?),
        None => None,
    };
    let mut headers: Vec<(String, String)> = args.headers.into_iter().map(|h| (h.0, h.1)).collect();
    let has_type = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if let (Some(body), false) = (&body, has_type) {
        serde_json::from_str::<Value>(body).map_err(|error| {
            Problem::invalid(format!("the body is not JSON: {error}"))
                .hint("say what it is with --header Content-Type:TYPE")
        })?;
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    let request = ProxyRequest {
        connection: ConnectionKey {
            integration: args.integration,
            connection: args.connection,
        },
        method: args.method.to_ascii_uppercase(),
        url: args.path,
        headers,
        body: body.map(String::into_bytes),
    };
    let control = global.open_existing().await?;
    let response = control.request(request).await;
    control.close().await?;
    let response = response?;
    if args.json {
        output::json(&shown(&response))?;
    } else {
        print(&response, args.include)?;
    }
    outcome(&response)
}

/// The answer as JSON; a body that is no text in base64.
fn shown(response: &ProxyResponse) -> Value {
    let mut shown = json!({
        "status": response.status,
        "url": response.url,
        "headers": response.headers,
    });
    let (key, body) = match std::str::from_utf8(&response.body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_base64", STANDARD.encode(&response.body)),
    };
    if let Value::Object(object) = &mut shown {
        object.insert(key.to_owned(), body.into());
    }
    shown
}

fn print(response: &ProxyResponse, include: bool) -> Result<()> {
    if include {
        output::line(response.status);
        for (name, value) in &response.headers {
            output::line(format!("{name}: {value}"));
        }
        output::line("");
    }
    let mut stdout = std::io::stdout();
    match std::str::from_utf8(&response.body) {
        Ok(text) => output::foreign(text),
        Err(_) if stdout.is_terminal() => {
            let bytes = output::bytes(response.body.len() as u64);
            output::notice(format!("the body, {bytes}, is no text; send it to a file"));
        }
        Err(_) => {
            let written = stdout
                .write_all(&response.body)
                .and_then(|()| stdout.flush());
            written.map_err(Problem::internal)?;
        }
    }
    Ok(())
}

fn outcome(response: &ProxyResponse) -> Result<()> {
    let status = response.status;
    match status {
        // The gate follows what it may: this one stands for the answer to a write, which was not done.
        301..=303 | 307 | 308 => {
            let mut headers = response.headers.iter();
            let target = headers.find(|(name, _)| name == "location");
            let target = target.map_or("nowhere", |(_, target)| target);
            Err(Problem::new(
                Kind::Rejected,
                format!(
                    "the outside API redirects to {target} (status {status}), and nothing was sent there"
                ),
            ))
        }
        0..400 => Ok(()),
        400..500 => Err(Problem::new(
            Kind::Rejected,
            format!("the outside API said no: status {status}"),
        )),
        _ => Err(Problem::new(
            Kind::Upstream,
            format!("the outside API failed: status {status}"),
        )),
    }
}
