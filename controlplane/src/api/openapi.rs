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
    blob, cluster, dwcp, event, host, image, member, metrics, operation, prometheus, routes, token,
    user, vm,
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
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "about", operation_id = "openapi",
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
    let routes = routes::table();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, methods) in paths.iter_mut() {
        let Some(methods) = methods.as_object_mut() else { continue };
        for (method, operation) in methods.iter_mut() {
            complete_operation(path, method, operation);
            let route = routes
                .iter()
                .find(|route| route.path == path && route.method.eq_ignore_ascii_case(method));
            if let Some(role) = route.and_then(|route| route.rule.role()) {
                operation["x-novacron-role"] = json!(role.as_str());
            }
        }
    }
}

fn complete_operation(path: &str, method: &str, operation: &mut Value) {
    // Handlers of different subjects have the same names; ids must be unique.
    if let (Some(tag), Some(id)) =
        (operation.pointer("/tags/0").and_then(Value::as_str), operation["operationId"].as_str())
    {
        operation["operationId"] = json!(format!("{tag}_{id}"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

    /// `UPDATE_OPENAPI=1` writes the file instead.
    #[test]
    fn the_checked_in_document_is_what_the_code_says() {
        let document = document();
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(CHECKED_IN, &document).unwrap();
        }
        let checked_in = std::fs::read_to_string(CHECKED_IN).unwrap_or_default();
        let first = document.lines().zip(checked_in.lines()).position(|(a, b)| a != b);
        assert!(
            document == checked_in,
            "docs/openapi.json differs, first in line {:?}; run the test with UPDATE_OPENAPI=1",
            first.map(|at| at + 1)
        );
    }

    #[test]
    fn the_document_is_openapi_3_1_and_every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut references = Vec::new();
        collect_references(&document, &mut references);
        assert!(references.len() > 50);
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_has_an_id_of_its_own() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for methods in document["paths"].as_object().unwrap().values() {
            for operation in methods.as_object().unwrap().values() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(seen.insert(id.to_owned()), "{id} twice");
            }
        }
    }

    #[test]
    fn every_operation_says_what_a_problem_looks_like() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let problem = operation
                    .pointer("/responses/default/content/application~1problem+json/schema/$ref");
                assert!(problem.is_some(), "{method} {path}");
                assert!(operation["summary"].is_string(), "{method} {path}");
            }
        }
    }

    fn collect_references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    found.push(reference.clone());
                }
                map.values().for_each(|value| collect_references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| collect_references(value, found)),
            _ => {}
        }
    }
}
