//! The OpenAPI 3.1 document, made of the handlers and their types.
//!
//! What all operations have in common (problems, paging, consistency, idempotency, the role they
//! need) is added here, so that no handler can forget it.

use std::sync::LazyLock;

use axum::http::StatusCode;
use novacron_protocol::api::{PREFIX, Problem};
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::answer::Answer;
use super::{
    blob, cluster, dwcp, event, host, image, member, metrics, operation, prometheus, token, user,
    vm,
};

#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "NovaCron",
        description = "Admin API of a NovaCron cluster. Every member serves it.",
    ),
    paths(
        cluster::health,
        cluster::ready,
        prometheus::scrape,
        serve,
        cluster::show,
        dwcp::status,
        member::list,
        member::show,
        member::remove,
        host::list,
        host::show,
        host::remove,
        host::cordon,
        host::uncordon,
        metrics::of_host,
        vm::list,
        vm::create,
        vm::show,
        vm::delete,
        vm::start,
        vm::stop,
        vm::restart,
        vm::explain,
        vm::console,
        metrics::of_vm,
        image::list,
        image::create,
        image::show,
        image::delete,
        blob::missing,
        blob::put,
        token::list,
        token::create,
        token::revoke,
        user::list,
        user::create,
        user::delete,
        operation::list,
        operation::show,
        operation::cancel,
        event::read,
    ),
    components(schemas(Problem))
)]
struct Document;

static TEXT: LazyLock<String> = LazyLock::new(document);

/// The document as JSON text, the same for the same build.
pub fn document() -> String {
    let mut document = serde_json::to_value(Document::openapi())
        .expect("the document is made of plain values, which always serialise");
    complete(&mut document);
    let mut text = serde_json::to_string_pretty(&document).expect("a JSON value always serialises");
    text.push('\n');
    text
}

/// Show this document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "health",
    responses((status = 200, description = "This document", body = Object)))]
pub(crate) async fn serve() -> Answer {
    Answer::bytes(StatusCode::OK, "application/json", TEXT.as_bytes().to_vec())
}

fn complete(document: &mut Value) {
    document["security"] = json!([{ "bearer": [] }]);
    document["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "From `novacron user create`, or of the admin that `init` made."
        }
    });
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, methods) in paths.iter_mut() {
        let Some(methods) = methods.as_object_mut() else { continue };
        for (method, operation) in methods.iter_mut() {
            complete_operation(path, method, operation);
        }
    }
}

fn complete_operation(path: &str, method: &str, operation: &mut Value) {
    operation["responses"]["default"] = json!({
        "description": "Anything else",
        "content": {
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } }
        }
    });
    for parameter in common_parameters(path, method, operation) {
        match operation["parameters"].as_array_mut() {
            Some(parameters) => parameters.push(parameter),
            None => operation["parameters"] = json!([parameter]),
        }
    }
}

fn common_parameters(path: &str, method: &str, operation: &Value) -> Vec<Value> {
    let mut parameters = Vec::new();
    if !path.starts_with(PREFIX) || path.ends_with("openapi.json") {
        return parameters;
    }
    if method == "get" {
        parameters.push(json!({
            "name": "consistency", "in": "query", "required": false,
            "description": "How fresh the answer must be",
            "schema": {
                "type": "string", "enum": ["linearizable", "leader", "stale"],
                "default": "linearizable"
            }
        }));
    } else if method != "put" {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "A repeat with the same key is answered from the first",
            "schema": { "type": "string", "minLength": 1, "maxLength": 128 }
        }));
    }
    let schema = operation.pointer("/responses/200/content/application~1json/schema/$ref");
    if schema.and_then(Value::as_str).is_some_and(|name| name.contains("/Page_")) {
        parameters.push(json!({
            "name": "limit", "in": "query", "required": false,
            "description": "Items on a page",
            "schema": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }
        }));
        parameters.push(json!({
            "name": "page_token", "in": "query", "required": false,
            "description": "From `next_page_token` of the page before",
            "schema": { "type": "string" }
        }));
    }
    let changes_vm = path.starts_with("/api/v1/vms/{vm}") && method != "get";
    if changes_vm {
        parameters.push(json!({
            "name": "If-Match", "in": "header", "required": false,
            "description": "The VM's ETag: refused with 412 when it has changed since",
            "schema": { "type": "string" }
        }));
    }
    parameters
}
