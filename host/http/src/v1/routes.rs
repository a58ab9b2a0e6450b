//! Routes under their rules, and the document that comes of them.
//!
//! A route is added with its rule or not at all, so that none can be open by mistake.

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa::ToSchema;
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{OpenApi, Ref, RefOr};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::app::App;
use super::guard::guard;
use super::problem::{Details, Type};
use super::rule::Repeats;
pub(super) use super::rule::Rule;

/// The name of the document's security scheme.
pub(super) const SCHEME: &str = "api_key";

/// What an idempotency key is.
const KEY_PATTERN: &str = "^[!-~]{1,255}$";

/// Routes with their rules, and their document.
pub(super) struct Routes {
    app: App,
    router: OpenApiRouter<App>,
}

impl Routes {
    pub(super) fn new(app: &App) -> Self {
        Self {
            app: app.clone(),
            router: OpenApiRouter::new(),
        }
    }

    /// Add routes, of one path, under a rule: `routes!(list, create)`.
    #[must_use]
    pub(super) fn add(self, rule: Rule, routes: UtoipaMethodRouter<App>) -> Self {
        let (schemas, mut paths, method_router) = routes;
        for (path, item) in &mut paths.paths {
            let many = operations(item).count() > 1;
            for (method, operation) in operations(item) {
                if rule.changes() && rule.repeats != Repeats::Own && method != "get" {
                    takes_key(operation);
                }
                document(operation, path, &rule);
                if let (true, Some(id)) = (many, &mut operation.operation_id) {
                    // One handler of several methods has one name, and ids must differ.
                    *id = format!("{id}_{method}");
                }
                if let Some(id) = &mut operation.operation_id {
                    let tag = operation.tags.iter().flatten().next();
                    let tag =
                        tag.map_or_else(String::new, |tag| tag.replace(' ', "_").to_lowercase());
                    *id = format!("{tag}_{id}");
                }
            }
        }
        let layer = from_fn_with_state((self.app.clone(), rule), guard);
        let guarded = (schemas, paths, method_router.layer(layer));
        Self {
            router: self.router.routes(guarded),
            app: self.app,
        }
    }

    pub(super) fn finish(self) -> (Router<App>, OpenApi) {
        let (router, mut document) = self.router.split_for_parts();
        // What the router calls a rest of the path, `{*path}`, OpenAPI has no word for.
        let paths = std::mem::take(&mut document.paths.paths);
        let renamed = paths
            .into_iter()
            .map(|(path, item)| (path.replace("{*", "{"), item));
        document.paths.paths = renamed.collect();
        (router, document)
    }
}

/// Routes under a rule that are in no document.
pub(super) fn guarded(app: &App, rule: Rule, routes: Router<App>) -> Router<App> {
    routes.layer(from_fn_with_state((app.clone(), rule), guard))
}

/// The operations of a path, with their methods.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
        ("patch", &mut item.patch),
        ("head", &mut item.head),
        ("options", &mut item.options),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Write down that an operation is done once under a key.
fn takes_key(operation: &mut Operation) {
    let text = "1 to 255 visible ASCII characters: a repeat within 24 hours changes nothing, and gets the first answer";
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .description(Some(text))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(utoipa::openapi::Type::String)
                .pattern(Some(KEY_PATTERN)),
        ))
        .build();
    operation
        .parameters
        .get_or_insert_default()
        .push(RefOr::T(key));
    let responses = &mut operation.responses.responses;
    let conflict = responses.entry(Type::Conflict.status().as_u16().to_string());
    conflict.or_insert_with(|| problem(Type::Conflict));
}

/// Write down what the rule says of an operation, and the problems that any route may have.
fn document(operation: &mut Operation, path: &str, rule: &Rule) {
    let mut kinds = vec![
        Type::Internal,
        Type::Stopping,
        Type::Misdirected,
        Type::RateLimited,
        Type::LongHead,
    ];
    match rule.scope {
        Some(scope) => {
            let needed = SecurityRequirement::new(SCHEME, [scope.as_str()]);
            operation.security = Some(vec![needed]);
            kinds.extend([Type::Unauthenticated, Type::NarrowScope]);
        }
        None => operation.security = Some(Vec::new()),
    }
    if rule.is_timed {
        kinds.push(Type::Slow);
    }
    let has_parameters = operation
        .parameters
        .as_ref()
        .is_some_and(|all| !all.is_empty());
    if has_parameters || operation.request_body.is_some() {
        kinds.push(Type::InvalidRequest);
    }
    if path.contains('{') {
        kinds.push(Type::NotFound);
    }
    if let Some(RefOr::T(body)) = &operation.request_body {
        kinds.push(Type::SlowRequest);
        // Other bodies are taken for what they are, whatever they are said to be.
        if body.content.contains_key("application/json") {
            kinds.push(Type::WrongMedia);
        }
    }
    // Any request may carry a body that is too large for it.
    if rule.body < u64::MAX {
        kinds.push(Type::TooLarge);
    }
    let responses = &mut operation.responses.responses;
    for (status, response) in responses.iter_mut() {
        // What a route says of its own problems is their description.
        if let (true, RefOr::T(response)) = (is_problem(status), response) {
            let (media_type, content) = problem_content();
            response.content.insert(media_type, content.into());
        }
    }
    for kind in kinds {
        let status = kind.status().as_u16().to_string();
        responses.entry(status).or_insert_with(|| problem(kind));
    }
}

fn is_problem(status: &str) -> bool {
    status.starts_with(['4', '5'])
}

/// The body of every problem.
pub(super) fn problem_content() -> (String, Content) {
    let schema = RefOr::Ref(Ref::from_schema_name(Details::name()));
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ("application/problem+json".to_owned(), content)
}

/// The document's response for the status of a problem.
fn problem(kind: Type) -> RefOr<utoipa::openapi::Response> {
    let name = response_name(kind);
    RefOr::Ref(Ref::new(format!("#/components/responses/{name}")))
}

/// What the document calls the response of a status.
pub(super) fn response_name(kind: Type) -> String {
    format!("Problem{}", kind.status().as_u16())
}
