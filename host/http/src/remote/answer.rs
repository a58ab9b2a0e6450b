//! Calls answered by `Control`, in the server.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_service::control::Control;
use tidegate_service::control::calls::*;
use tidegate_service::control_calls;
use tidegate_service::problem::{Problem, Result};

use super::find::proof;
use super::frame::Frame;
use super::runs;
use crate::v1::App;

/// Most bytes of a call's arguments: a file of 100,000 connections has 256 MiB at most, and every byte
/// of it may be escaped. Imports are read as they come.
const CALL_BYTES_MAX: usize = 768 * 1024 * 1024;

/// What is served on the server's own port besides the API. `guarded` lets only the token through.
pub(crate) fn routes(guarded: impl FnOnce(Router<App>) -> Router<App>) -> Router<App> {
    guarded(Router::new().route("/control/{call}", post(answer)))
        .route("/control/proof/{nonce}", get(prove))
}

async fn prove(State(app): State<App>, Path(nonce): Path<String>) -> Response {
    proof(app.own_token, &nonce).map_or_else(
        || StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        IntoResponse::into_response,
    )
}

async fn answer(State(app): State<App>, Path(call): Path<String>, request: Request) -> Response {
    let body = request.into_body();
    if call == runs::IMPORT {
        return runs::answer_import(&app, body);
    }
    let args = match to_bytes(body, CALL_BYTES_MAX).await {
        Ok(args) => args,
        Err(error) => return last(Err::<(), _>(Problem::invalid(error))),
    };
    match call.as_str() {
        runs::RUN_SYNC => runs::answer_sync(&app, &args),
        runs::INVOKE => runs::answer_invoke(&app, &args),
        runs::EXPORT => runs::answer_export(&app, &args),
        _ => match once(&*app.control, &call, &args).await {
            Ok(value) => {
                heed(&app, &call).await;
                last(Ok(value))
            }
            Err(problem) => last(Err::<(), _>(problem)),
        },
    }
}

/// The name of a call; no other compiles.
macro_rules! name_of {
    ($name:ident) => {{
        let _ = <dyn Control as Management>::$name;
        stringify!($name)
    }};
}

/// The API keeps its keys in memory.
async fn heed(app: &App, call: &str) {
    if ![name_of!(create_api_key), name_of!(revoke_api_key)].contains(&call) {
        return;
    }
    let _changing = app.keyring.changing.lock().await;
    match app.control.api_keys().await {
        Ok(keys) => app.keyring.set(keys),
        Err(problem) => tracing::error!(%problem, "API keys were changed, and can't be read"),
    }
}

/// An answer of one frame.
pub(super) fn last<T: Serialize>(result: Result<T>) -> Response {
    Body::from(Frame::end(result).line()).into_response()
}

/// The arguments of a call.
pub(super) fn read<T: DeserializeOwned>(args: &[u8]) -> Result<T> {
    serde_json::from_slice(args).map_err(|error| Problem::internal(error).at("arguments of a call"))
}

type Value = Box<serde_json::value::RawValue>;

fn value<T: Serialize>(of: &T) -> Result<Value> {
    serde_json::value::to_raw_value(of).map_err(Problem::internal)
}

/// Each call of the table is answered by its method.
macro_rules! answers {
    ($(
        $(#[$what:meta])* $trait:ident {
            $($(#[$doc:meta])* $name:ident($($lent:ident: $of:ty),*; $($given:ident: $as:ty),*) -> $answer:ty;)*
        }
    )*) => {
        async fn once(control: &dyn Control, call: &str, args: &[u8]) -> Result<Value> {
            match call {
                $($(stringify!($name) => {
                    let ($($lent,)* $($given,)*): ($($of,)* $($as,)*) = read(args)?;
                    value(&Box::pin(control.$name($(&$lent,)* $($given),*)).await?)
                })*)*
                _ => Err(Problem::internal(format!("there is no call {call:?}"))),
            }
        }
    };
}

control_calls!(answers);
